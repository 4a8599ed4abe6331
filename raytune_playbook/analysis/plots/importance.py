"""Which hyperparameters matter, and which of them interact (rule IN15)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.sampled.chance import chance_of
from raytune_playbook.analysis.sampled.forest import MAX_BOXES, explained_shares
from raytune_playbook.analysis.sampled.points import Floats, points_of, scores_of
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Hyperparameter
from raytune_playbook.study.study import StudySpec

MIN_TRIALS = 10
"""Of fewer trials no forest learns anything."""


@dataclass(frozen=True)
class Interaction:
    """Two hyperparameters whose best values depend on each other; ``share`` is of the objective's variance."""

    names: tuple[str, str]
    share: float


@dataclass(frozen=True)
class Importance:
    """What explains the objective in one study.

    Fields:
        study: its name.
        num_trials: that it was learned from.
        shares: of the objective's variance that each hyperparameter explains by itself, the largest first.
        interactions: the strongest first.
        p_value: how often a model of as many trials would explain as much where nothing explains anything.
    """

    study: str
    num_trials: int
    shares: Mapping[str, float]
    interactions: tuple[Interaction, ...]
    p_value: float


def importances(evidence: Evidence) -> tuple[Importance, ...]:
    """What explains the objective in every study that has enough trials."""
    arms: dict[str, list[Arm]] = {}
    for arm in evidence.arms:
        arms.setdefault(arm.study, []).append(arm)
    # The work grows with the square: as much for many studies together as for one.
    max_boxes = round(MAX_BOXES / math.sqrt(max(1, len(evidence.studies))))
    found = (_importance(study, arms.get(study.name, []), evidence, max_boxes) for study in evidence.studies)
    return tuple(importance for importance in found if importance is not None)


def values_of(costs: Floats) -> Floats:
    """Costs as what is to be explained: none is worse than Tukey's fence, which is where infeasible points lie.

    How bad a bad trial is would else drown what tells good ones apart.

    Args:
        costs: of shape (num_points,), one of them finite.
    """
    finite = costs[np.isfinite(costs)]
    low, high = np.quantile(finite, [0.25, 0.75])
    values: Floats = np.minimum(costs, max(high + 1.5 * (high - low), float(np.median(finite))))
    return values


def _importance(study: StudySpec, arms: Sequence[Arm], evidence: Evidence, max_boxes: int) -> Importance | None:
    space: dict[str, Hyperparameter] = dict(study.space)
    for name in study.arms[0] if study.arms else ():
        # Beside what was tuned in a joint study, its scientific values explain something.
        space[name] = Categorical(list(dict.fromkeys(arm[name] for arm in study.arms if arm.get(name) is not None)))
    points = points_of([trial for arm in arms for trial in arm.ended], space, evidence.objective)
    if len(points.trials) < MIN_TRIALS or not points.completed.any() or not space:
        return None
    chance = chance_of(space, points.units, scores_of(points.costs))
    values = values_of(points.costs)
    if chance is None or np.ptp(values) == 0:
        return None
    shares = explained_shares(np.nan_to_num(points.units, nan=0.5), values, max_boxes)
    by_name = {name: float(share) for name, share in zip(space, shares.single, strict=True)}
    names = list(space)
    pairs = sorted(shares.pairs.items(), key=lambda pair: -pair[1])
    return Importance(
        study.name,
        len(points.trials),
        shares=dict(sorted(by_name.items(), key=lambda item: -item[1])),
        interactions=tuple(Interaction((names[a], names[b]), share) for (a, b), share in pairs),
        p_value=chance.p_value,
    )
