"""The data of isolation plots: the best trial over the nuisance hyperparameters for each scientific value.

See the playbook's "Detecting whether a change is useful with isolation plots" (rule IN12): values of a continuous
scientific hyperparameter are bucketed, and the best trial of each slice is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from raytune_playbook.analysis.answer.arm_comparison import best_interval, trial_loss
from raytune_playbook.analysis.answer.resolution import num_scored
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.judging.best import ranked
from raytune_playbook.analysis.plots.axis import Axis, AxisPoint, axes
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Scale


@dataclass(frozen=True)
class IsolationPoint:
    """One scientific value, or one bucket of a continuous hyperparameter, and the best trial there.

    Fields:
        value: the scientific value, or of a bucket that of its best trial.
        edges: of the bucket; None for a value.
        best: None where no trial was completed there.
        others: objectives of the other completed trials there, the best first.
        interval: where the best of as many trials of another search would lie, in 8 of 10 cases; None where too few
            trials tell.
        num_trials: that were tried there, infeasible ones included; those that crashed are not.
    """

    value: Value
    edges: tuple[float, float] | None
    best: Trial | None
    others: tuple[float, ...]
    interval: tuple[float, float] | None
    num_trials: int


@dataclass(frozen=True)
class Isolation:
    """An isolation plot of one scientific hyperparameter; ``scale`` is ``linear`` for choices."""

    name: str
    scale: Scale
    points: tuple[IsolationPoint, ...]


MAX_CHOICES = 12
"""More values of a number than this are bucketed, too."""

_TRIALS_PER_BUCKET = 5
_MAX_BUCKETS = 8

_Group: TypeAlias = tuple[Value | None, tuple[float, float] | None, list[AxisPoint]]
"""A value, or a bucket's edges, and the trials there."""


def isolations(evidence: Evidence) -> tuple[Isolation, ...]:
    """The isolation plots of every scientific hyperparameter; of several each is over the others as well."""
    sampled = [name for study in evidence.studies for name in study.space if evidence.roles.get(name) == "scientific"]
    names = dict.fromkeys([*evidence.scientific, *sampled])
    found = (isolation_of(evidence, name) for name in names)
    return tuple(isolation for isolation in found if isolation is not None)


def isolation_of(evidence: Evidence, name: str) -> Isolation | None:
    """The isolation plot of any hyperparameter that varies; None of one that does not, or was not tried.

    Quasi-random search makes it of a nuisance hyperparameter, too, as in the playbook's Figure 2.
    """
    axis = next((axis for axis in axes(evidence.studies, evidence.first_runs) if axis.name == name), None)
    points = [*axis.completed, *axis.infeasible] if axis else []
    if axis is None or not points:
        return None
    scale: Scale = "linear"
    if (range_ := _range(axis)) is None:
        groups = _by_choice(axis, points)
    else:
        scale, groups = range_.scale, _by_bucket(range_, points)
    is_share = num_scored(evidence) is not None
    return Isolation(name, scale, tuple(_point(evidence, group, is_share=is_share) for group in groups if group[2]))


def _range(axis: Axis) -> Float | None:
    """What is bucketed: a range, or very many numbers, which are on a log scale where they span decades."""
    if axis.low is not None and axis.high is not None:
        return Float(axis.low, axis.high, scale=axis.scale)
    numbers = [value for value in axis.choices if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) <= MAX_CHOICES or len(numbers) < len(axis.choices):
        return None
    low, high = float(min(numbers)), float(max(numbers))
    return Float(low, high, scale="log" if low > 0 and high / low > 30 else "linear")


def _by_choice(axis: Axis, points: Sequence[AxisPoint]) -> list[_Group]:
    by_place: dict[int | None, list[AxisPoint]] = {}
    for point in points:
        by_place.setdefault(axis.place(point.x), []).append(point)
    return [(value, None, by_place.get(place, [])) for place, value in enumerate(axis.choices)]


def _by_bucket(range_: Float, points: Sequence[AxisPoint]) -> list[_Group]:
    """Slices of the same width on the hyperparameter's own scale."""
    num_buckets = min(_MAX_BUCKETS, max(2, len(points) // _TRIALS_PER_BUCKET))
    slices: list[list[AxisPoint]] = [[] for _ in range(num_buckets)]
    for point in points:
        number = float(point.x) if isinstance(point.x, int | float) else math.nan
        if (unit := range_.to_unit(number)) is not None:
            slices[min(int(unit * num_buckets), num_buckets - 1)].append(point)
    edges = [range_.from_unit(place / num_buckets) for place in range(num_buckets + 1)]
    return [(None, (edges[place], edges[place + 1]), own) for place, own in enumerate(slices)]


def _point(evidence: Evidence, group: _Group, *, is_share: bool) -> IsolationPoint:
    value, edges, points = group
    order = ranked([point.trial for point in points], evidence.objective)
    losses = [loss for point in points if (loss := trial_loss(point.trial, evidence)) is not None]
    best = order[0] if order else None
    if edges is not None:
        value = next((point.x for point in points if point.trial is best), points[0].x)
    return IsolationPoint(
        value=value,
        edges=edges,
        best=best,
        others=tuple(trial.objective for trial in order[1:] if trial.objective is not None),
        interval=best_interval(losses, evidence, is_share=is_share),
        num_trials=len(points),
    )
