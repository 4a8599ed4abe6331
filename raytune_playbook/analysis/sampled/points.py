"""Trials as points of the unit cube, each hyperparameter on its own scale, with costs of which small ones are good."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

from raytune_playbook.analysis.evidence import Arm, Evidence, same_text
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Hyperparameter, finite_values
from raytune_playbook.study.settings import Objective

Floats = npt.NDArray[np.float64]

MAX_POINTS = 2000
"""So many points are looked at of more: a subset drawn by chance, the same each time."""

MIN_RANKED = 4
"""An arm of a joint study with fewer points is ranked among those of the whole study."""


@dataclass(frozen=True, eq=False)
class Points:
    """What was tried, infeasible points included; trials that crashed or have no objective are no evidence.

    Fields:
        space: what was tuned, in the order of the columns.
        trials: of shape (num_points,).
        units: where they lie in [0, 1], of shape (num_points, num_hyperparameters); NaN where one does not exist.
        costs: of shape (num_points,), small is good; infinite for an infeasible point.
    """

    space: Mapping[str, Hyperparameter]
    trials: tuple[Trial, ...]
    units: Floats
    costs: Floats

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.space)

    @property
    def completed(self) -> npt.NDArray[np.bool_]:
        """Which of them are feasible."""
        return np.isfinite(self.costs)

    def taken(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Points:
        """Some of the points."""
        places = np.arange(len(self.trials))[which]
        return Points(self.space, tuple(self.trials[place] for place in places), self.units[which], self.costs[which])


@dataclass(frozen=True, eq=False)
class Group:
    """Arms that tune the same hyperparameters over the same ranges, or all arms of one joint study.

    Fields:
        arms: of which each has a point.
        points: of each arm.
        units: of the points that differ, of shape (num_points, num_hyperparameters): studies of one round try the
            same points, whose costs are not independent.
        scores: how each compares with the others of its arm, averaged over the arms, of shape (num_points,).
    """

    arms: tuple[Arm, ...]
    points: tuple[Points, ...]
    units: Floats
    scores: Floats

    @property
    def space(self) -> Mapping[str, Hyperparameter]:
        return self.points[0].space

    @property
    def studies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm.study for arm in self.arms))

    @property
    def best(self) -> Trial | None:
        """The best trial of all its arms; None where none is feasible."""
        costs = [(float(points.costs.min()), points) for points in self.points]
        cost, points = min(costs, key=lambda pair: pair[0])
        return points.trials[int(points.costs.argmin())] if cost < math.inf else None


def points_of(trials: Sequence[Trial], space: Mapping[str, Hyperparameter], objective: Objective) -> Points:
    """The points of some trials that have ended."""
    sign = 1.0 if objective.goal == "minimize" else -1.0
    kept: list[Trial] = []
    costs: list[float] = []
    for trial in trials:
        cost = _cost(trial, sign)
        if cost is not None:
            kept.append(trial)
            costs.append(cost)
    chosen = subset(len(kept), MAX_POINTS)
    kept = [kept[place] for place in chosen]
    columns = [_units(space[name], [trial.values.get(name) for trial in kept]) for name in space]
    units = np.stack(columns, axis=1) if columns else np.empty((len(kept), 0))
    return Points(space, tuple(kept), units, np.asarray(costs, dtype=float)[chosen])


def groups_of(evidence: Evidence) -> tuple[Group, ...]:
    """The arms of a round, those together whose points can be looked at together; arms without any are left out."""
    spaces = {study.name: study.space for study in evidence.studies if study.arms}
    by_space: dict[str, list[Arm]] = {}
    for arm in evidence.arms:
        together = f"joint {arm.study}" if arm.study in spaces else repr(sorted(arm.space.items()))
        by_space.setdefault(together, []).append(arm)
    groups = (_group(arms, spaces.get(arms[0].study, arms[0].space), evidence) for arms in by_space.values())
    return tuple(group for group in groups if group is not None)


def _group(arms: Sequence[Arm], space: Mapping[str, Hyperparameter], evidence: Evidence) -> Group | None:
    points = [points_of(arm.ended, space, evidence.objective) for arm in arms]
    pairs = [(arm, of_arm) for arm, of_arm in zip(arms, points, strict=True) if of_arm.trials]
    if not pairs:
        return None
    units = np.concatenate([of_arm.units for _, of_arm in pairs])
    few = len({arm.study for arm in arms}) == 1 and min(len(of_arm.trials) for _, of_arm in pairs) < MIN_RANKED
    costs = [of_arm.costs for _, of_arm in pairs]
    scores = scores_of(np.concatenate(costs)) if few else np.concatenate([scores_of(of_arm) for of_arm in costs])
    distinct, owner = np.unique(np.nan_to_num(units, nan=-1.0).round(9), axis=0, return_inverse=True)
    owner = owner.ravel()
    if len(distinct) < len(units) and not few:
        first = np.unique(owner, return_index=True)[1]
        units, scores = units[first], np.bincount(owner, scores) / np.bincount(owner)
    chosen = subset(len(units), MAX_POINTS)
    return Group(tuple(arm for arm, _ in pairs), tuple(own for _, own in pairs), units[chosen], scores[chosen])


def scores_of(costs: Floats) -> Floats:
    """Normal scores of the ranks: how a point compares with the others, whatever the objective's scale.

    Args:
        costs: of shape (num_points,), of which equal ones share a score; infinite for infeasible points.
    """
    if len(costs) == 0:
        return costs
    scores: Floats = ndtri((rankdata(costs) - 0.5) / len(costs))
    return scores


def subset(num: int, most: int) -> npt.NDArray[np.int64]:
    """Which of ``num`` to look at, in their order: all, or ``most`` of them, drawn by chance but the same each time."""
    if num <= most:
        return np.arange(num)
    return np.sort(np.random.default_rng(0).choice(num, most, replace=False))


def is_numeric(hyperparameter: Hyperparameter) -> bool:
    """Whether its values have an order in which a boundary and a middle mean something."""
    few = hyperparameter.num_values is not None and hyperparameter.num_values < 3
    return not few and not isinstance(hyperparameter, Categorical)


def _cost(trial: Trial, sign: float) -> float | None:
    if trial.outcome == Outcome.INFEASIBLE:
        return math.inf
    if trial.outcome != Outcome.COMPLETED or trial.objective is None or math.isnan(trial.objective):
        return None
    cost = sign * trial.objective
    return cost if cost > -math.inf else None


def _units(hyperparameter: Hyperparameter, values: Sequence[Value]) -> Floats:
    known: dict[Value, float] = {}
    choices = None if hyperparameter.num_values is None else finite_values(hyperparameter)
    for value in values:
        if value not in known:
            unit = hyperparameter.to_unit(value)
            if unit is None and value is not None and choices is not None:
                # A table gives a choice back in its column's type.
                match = next((choice for choice in choices if same_text(choice) == same_text(value)), None)
                unit = None if match is None else hyperparameter.to_unit(match)
            known[value] = math.nan if unit is None else unit
    return np.asarray([known[value] for value in values], dtype=float)
