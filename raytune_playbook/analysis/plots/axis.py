"""The data of basic hyperparameter axis plots: the objective against one hyperparameter, one point per trial.

See the playbook's "Identifying bad search space boundaries". Rule IN11: every varied hyperparameter has one, and
infeasible trials are marked. Rule SD12: one plot spans all studies of a round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import (
    Categorical,
    Discrete,
    Float,
    Hyperparameter,
    Int,
    Scale,
)
from raytune_playbook.study.study import StudySpec


@dataclass(frozen=True)
class AxisPoint:
    """One trial at its value of the hyperparameter."""

    x: Value
    trial: Trial


@dataclass(frozen=True)
class Axis:
    """One hyperparameter axis plot.

    Fields:
        name: of the hyperparameter.
        scale: of its range; ``linear`` for choices.
        low, high: the range that was searched, over all studies; None for choices.
        choices: the values of a hyperparameter that has few, in order; empty for a range.
        completed: trials with an objective.
        infeasible: trials that ended for a reason of their own, which stands in ``trial.reason``.
        failed: trials that crashed, which is no evidence about the hyperparameter.
    """

    name: str
    scale: Scale
    low: float | None
    high: float | None
    choices: tuple[Value, ...]
    completed: tuple[AxisPoint, ...] = ()
    infeasible: tuple[AxisPoint, ...] = ()
    failed: tuple[AxisPoint, ...] = ()

    def place(self, x: Value) -> int | None:
        """Which of the choices ``x`` is, from 0; None where it is none of them.

        A table gives a choice back in its column's type, so 32 may come back as 32.0 or as "32".
        """
        texts = [str(choice) for choice in self.choices]
        if str(x) in texts:
            return texts.index(str(x))
        return self.choices.index(x) if x in self.choices else None


def axes(studies: Sequence[StudySpec], trials: Iterable[Trial]) -> list[Axis]:
    """One axis per varied hyperparameter: what sets the studies apart first, then the search's dimensions in order.

    Args:
        studies: of one round.
        trials: of all of them; those that have not ended, and repeats of a point, are left out.
    """
    ended = [trial for trial in trials if trial.outcome is not None and trial.repeat == 0]
    spaces: dict[str, list[Hyperparameter]] = {}
    for study in studies:
        for name, hyperparameter in study.space.items():
            spaces.setdefault(name, []).append(hyperparameter)
    return [*_arm_axes(studies, ended), *(_axis(name, given, ended) for name, given in spaces.items())]


def _arm_axes(studies: Sequence[StudySpec], trials: Sequence[Trial]) -> list[Axis]:
    found = []
    arms = {study.name: study.arms or (study.arm,) for study in studies}
    for name in scientific(studies):
        choices = dict.fromkeys(arm[name] for of_study in arms.values() for arm in of_study if name in arm)
        points = []
        for trial in trials:
            of_study = arms.get(trial.study, ())
            if any(name in arm for arm in of_study):
                # A study's own value as it was given; that of a joint study's trial stands in its record.
                points.append(AxisPoint(of_study[0][name] if len(of_study) == 1 else trial.values.get(name), trial))
        found.append(_with_points(Axis(name, "linear", None, None, tuple(choices)), points))
    return found


def scientific(studies: Iterable[StudySpec]) -> list[str]:
    """The hyperparameters whose values are compared one by one."""
    return list(dict.fromkeys(name for study in studies for arm in (study.arm, *study.arms) for name in arm))


def _axis(name: str, hyperparameters: Sequence[Hyperparameter], trials: Sequence[Trial]) -> Axis:
    points = [AxisPoint(trial.values[name], trial) for trial in trials if trial.values.get(name) is not None]
    ranges = [hyperparameter for hyperparameter in hyperparameters if isinstance(hyperparameter, Float | Int)]
    if ranges:
        low, high = min(range_.low for range_ in ranges), max(range_.high for range_ in ranges)
        return _with_points(Axis(name, ranges[0].scale, low, high, ()), points)
    choices = dict.fromkeys(choice for hyperparameter in hyperparameters for choice in _choices(hyperparameter))
    if None in choices:  # a choice of its own here, not an absent value
        points = [AxisPoint(trial.values[name], trial) for trial in trials if name in trial.values]
    return _with_points(Axis(name, "linear", None, None, tuple(choices)), points)


def _choices(hyperparameter: Hyperparameter) -> tuple[Value, ...]:
    match hyperparameter:
        case Categorical():
            return hyperparameter.choices
        case Discrete():
            return hyperparameter.values
        case _:
            return ()


def _with_points(axis: Axis, points: Sequence[AxisPoint]) -> Axis:
    completed = [
        point for point in points if point.trial.outcome == Outcome.COMPLETED and point.trial.objective is not None
    ]
    infeasible = [point for point in points if point.trial.outcome == Outcome.INFEASIBLE]
    failed = [point for point in points if point.trial.outcome == Outcome.FAILED]
    return replace(axis, completed=tuple(completed), infeasible=tuple(infeasible), failed=tuple(failed))
