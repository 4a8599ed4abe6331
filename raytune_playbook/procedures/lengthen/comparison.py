"""What a short round concluded, checked again in a long one (rule LN6): ranks, the best value, and what moved."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.stats import rankdata

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import is_same
from raytune_playbook.study.hyperparameters.known import TRAINING, last_part, purpose_of

MIN_RANKED = 4
"""Fewer points have no rank correlation that says anything."""

_Z = 1.96
"""Of a normal distribution: 95% lie within."""


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of the same points at two lengths.

    Fields:
        value: from -1 to 1; 1 where both rank them alike.
        low, high: its 95% interval.
        num_points: that it is of.
    """

    value: float
    low: float
    high: float
    num_points: int


def rank_correlation(short: Sequence[float], long: Sequence[float]) -> RankCorrelation | None:
    """How alike two trainings rank the same points; None of fewer than `MIN_RANKED`, or where one ties all of them.

    The interval is Fisher's, with the variance that Bonett and Wright give to ranks ("Sample size requirements for
    estimating Pearson, Kendall and Spearman correlations", 2000). Ranks that agree in full have the interval of ranks
    that are half a swap of neighbours away from that.

    Args:
        short, long: costs of which small ones are good, infinite for an infeasible point; of shape (num_points,).
    """
    num = len(short)
    if num < MIN_RANKED or len(set(short)) == 1 or len(set(long)) == 1:
        return None
    value = float(np.corrcoef(rankdata(short), rankdata(long))[0, 1])
    most = 1 - 6 / (num * (num**2 - 1))
    capped = max(-most, min(most, value))
    error = math.sqrt((1 + capped**2 / 2) / (num - 3))
    low, high = (math.tanh(math.atanh(capped) + sign * _Z * error) for sign in (-1, 1))
    return RankCorrelation(value, min(low, value), max(high, value), num)


class CarriesOver(StrEnum):
    """How likely what a short round found for a hyperparameter holds in a long one (rule LN5)."""

    VERY_LIKELY = "very likely"
    """Warmup length and initialization."""
    LIKELY = "likely"
    """Architecture."""
    PERHAPS = "perhaps, to be checked"
    """Optimizer, augmentation, regularization."""
    UNLIKELY = "unlikely, to be tuned again"
    """The learning rate schedule."""


def carries_over(name: str) -> CarriesOver:
    """Of a hyperparameter by its name; what of a workload's is of no other kind is taken to be its architecture."""
    part = last_part(name)
    if part == "warmup_steps" or re.search(r"(^|_)(init|initial|initialization|zero)(_|$)", part):
        return CarriesOver.VERY_LIKELY
    if part in ("schedule", "decay_steps", "final_factor"):
        return CarriesOver.UNLIKELY
    if part in TRAINING - {"batch_norm", "virtual_batch_size"} or purpose_of(part) in ("optimizer", "regularization"):
        return CarriesOver.PERHAPS
    if re.search(r"augment|crop|flip|mixup|cutout|jitter|noise|rotat|dropout|smoothing|decay|penalty", part):
        return CarriesOver.PERHAPS
    return CarriesOver.LIKELY


@dataclass(frozen=True)
class Compared:
    """One point at both lengths.

    Fields:
        name: of its trial in the short round, as commands take it.
        arm: its scientific values.
        values: of what varies.
        short, long: costs of which small ones are good; infinite where training was infeasible.
    """

    name: str
    arm: Mapping[str, Value]
    values: Mapping[str, Value]
    short: float
    long: float

    @property
    def arm_text(self) -> str:
        """The scientific values in words."""
        return ", ".join(f"{name}={value}" for name, value in self.arm.items()) or "all"


@dataclass(frozen=True)
class Change:
    """A hyperparameter's value in the best point of the short round, and in that of the long one."""

    name: str
    short: Value
    long: Value

    @property
    def has_moved(self) -> bool:
        return not is_same(self.short, self.long)


@dataclass(frozen=True)
class Verdict:
    """What the long round says to the conclusions of the short one.

    Fields:
        best_short, best_long: the best points at each length.
        correlation: of the ranks of all points; None where too few tell.
        leads: by scientific value how far its best point lies behind the best of all, at each length.
        changes: the values of what varies in both best points.
    """

    best_short: Compared
    best_long: Compared
    correlation: RankCorrelation | None
    leads: Mapping[str, tuple[float, float]]
    changes: tuple[Change, ...]

    @property
    def is_same_answer(self) -> bool:
        """Whether the same scientific value has the best point at both lengths."""
        return self.best_short.arm_text == self.best_long.arm_text

    @property
    def is_same_point(self) -> bool:
        """Whether the same point is the best at both lengths."""
        return self.best_short is self.best_long

    @property
    def has_answer(self) -> bool:
        """Whether there was more than one scientific value to compare."""
        return len(self.leads) > 1


def compare(points: Sequence[Compared]) -> Verdict | None:
    """Compare both lengths; None where no point could be trained for the long one."""
    if not any(math.isfinite(point.long) for point in points):
        return None
    best_short, best_long = min(points, key=lambda point: point.short), min(points, key=lambda point: point.long)
    by_arm: dict[str, list[Compared]] = {}
    for point in points:
        by_arm.setdefault(point.arm_text, []).append(point)
    leads = {
        arm: (min(p.short for p in own) - best_short.short, min(p.long for p in own) - best_long.long)
        for arm, own in by_arm.items()
    }
    changes = tuple(Change(name, value, best_long.values.get(name)) for name, value in best_short.values.items())
    correlation = rank_correlation([p.short for p in points], [p.long for p in points])
    return Verdict(best_short, best_long, correlation, leads, changes)
