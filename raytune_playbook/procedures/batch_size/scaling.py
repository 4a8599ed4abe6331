"""Steps to a target against batch size: perfect scaling, diminishing returns, the critical batch size (rules BA5, BA6).

See the playbook's "Choosing the batch size to minimize training time". Where scaling is perfect every size needs the
same number of examples, so that a doubled batch halves the steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

PERFECT = 1.5
"""Scaling is perfect up to so many times the fewest examples: the steps of a few trials are not known better."""

FALLS = 0.9
"""Fewer steps than this share of the next smaller size's are a reduction."""

CLOSE = 1.05
"""Training times that differ by less than this factor are equal: the smaller size is taken."""

RESAMPLES = 1000
INTERVAL = (0.05, 0.95)


class Regime(StrEnum):
    """How the steps go with the batch size at one size."""

    SMALLEST = "the smallest"
    """That has reached the target: with no smaller one there is no scaling to judge."""
    PERFECT = "perfect"
    DIMINISHING = "diminishing returns"
    NO_FEWER = "no fewer steps"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Steps:
    """The steps to the target of one batch size.

    Fields:
        size: examples of a global batch.
        fewest: of its trials; None where none has reached the target.
        low, high: the fewest of so many trials, drawn again from these, in 9 of 10 draws; infinity is not reached.
        num_reached, num_trials: of them.
        draws: the fewest of each draw, of shape (RESAMPLES,).
    """

    size: int
    fewest: int | None
    low: float
    high: float
    num_reached: int
    num_trials: int
    draws: npt.NDArray[np.float64] = field(repr=False, compare=False)


def steps_of(size: int, steps: Sequence[int | None]) -> Steps:
    """Of the steps to the target of each trial of a size; None of one that did not reach it."""
    known = np.array([math.inf if each is None else each for each in steps], dtype=float)
    drawn = np.random.default_rng(size).choice(known, size=(RESAMPLES, len(known))).min(axis=1)
    low, high = np.quantile(drawn, INTERVAL, method="nearest")
    fewest = float(known.min())
    reached = int(np.isfinite(known).sum())
    return Steps(size, int(fewest) if reached else None, float(low), float(high), reached, len(known), drawn)


@dataclass(frozen=True)
class Cost:
    """What a training to the target costs at one batch size.

    Fields:
        seconds: time per step times steps.
        resources: the same times what a gang takes each second, such as CPUs.
        low_s, high_s: the seconds, by the spread of the steps and of the time per step.
    """

    size: int
    seconds: float
    resources: float
    low_s: float
    high_s: float


@dataclass(frozen=True)
class StepScaling:
    """How the steps to a target go with the batch size.

    Fields:
        steps: by rising size.
        interval: steps between two evaluations: the target was reached somewhere within the last one.
    """

    steps: tuple[Steps, ...]
    interval: int

    @property
    def reached(self) -> list[Steps]:
        """The sizes of which a trial has reached the target."""
        return [each for each in self.steps if each.fewest is not None]

    @cached_property
    def examples(self) -> float | None:
        """What perfect scaling needs: the fewest examples of any size; None where no size has reached the target."""
        return min((_examples(each) for each in self.reached), default=None)

    def perfect_steps(self, size: int) -> float | None:
        """What perfect scaling needs at a size."""
        return None if self.examples is None else self.examples / size

    @cached_property
    def critical(self) -> int | None:
        """The largest size up to which scaling is perfect; None where the target was not reached.

        It is known to be the critical batch size only where a larger size was measured, see `is_critical_seen`.
        """
        return max((each.size for each in self.reached if self._is_perfect(each)), default=None)

    @property
    def is_critical_seen(self) -> bool:
        """Whether a larger size needs more examples than perfect scaling does."""
        return self.critical is not None and any(each.size > self.critical for each in self.reached)

    @cached_property
    def regimes(self) -> dict[int, Regime]:
        """How it goes at each size."""
        found = dict[int, Regime]()
        before = math.inf
        for each in self.steps:
            if each.fewest is None:
                found[each.size] = Regime.NOT_REACHED
                continue
            if each is self.reached[0]:
                found[each.size] = Regime.SMALLEST
            elif self.critical is not None and each.size <= self.critical:
                found[each.size] = Regime.PERFECT
            else:
                found[each.size] = Regime.DIMINISHING if each.fewest < FALLS * before else Regime.NO_FEWER
            before = min(before, each.fewest)
        return found

    def _is_perfect(self, steps: Steps) -> bool:
        """As far as the interval between evaluations tells."""
        at_least = max(0, (steps.fewest or 0) - self.interval) * steps.size
        return self.examples is not None and at_least <= PERFECT * self.examples


def costs(
    scaling: StepScaling, interval_s: Mapping[int, tuple[float, ...]], resources_per_s: float
) -> tuple[Cost, ...]:
    """Training time and resource consumption of the sizes that have reached the target (rule BA5).

    Args:
        interval_s: by size, seconds of a step in each of a few intervals.
        resources_per_s: what a gang takes.
    """
    found = []
    for each in scaling.reached:
        times = interval_s[each.size]
        seconds = float(np.median(times)) * (each.fewest or 0)
        found.append(Cost(each.size, seconds, seconds * resources_per_s, min(times) * each.low, max(times) * each.high))
    return tuple(found)


def least(costs_: Sequence[Cost], up_to: int) -> Cost | None:
    """The cost that is least, of the smallest size where several are as good as equal.

    Args:
        costs_: by rising size; on one gang the time and the resources are least at the same size.
        up_to: no larger size is considered: there the throughput has stopped growing (rule BA4).
    """
    considered = [each for each in costs_ if each.size <= up_to]
    best = min((each.seconds for each in considered), default=math.inf)
    return next((each for each in considered if each.seconds <= CLOSE * best), None)


def as_fast(costs_: Sequence[Cost], best: Cost, up_to: int) -> list[Cost]:
    """The larger sizes whose training time is as good as equal to that of the least cost."""
    return [each for each in costs_ if best.size < each.size <= up_to and each.seconds <= CLOSE * best.seconds]


def chance(scaling: StepScaling, interval_s: Mapping[int, Sequence[float]], size: int, up_to: int) -> float:
    """In what share of draws of the trials a size takes the least training time, or as good as that.

    Args:
        interval_s: by size, seconds of a step in each of a few intervals.
        up_to: no larger size is considered.
    """
    drawn = {
        each.size: each.draws * float(np.median(interval_s[each.size]))
        for each in scaling.steps
        if each.size <= up_to and each.fewest is not None
    }
    fewest = np.min(list(drawn.values()), axis=0)
    return float(np.mean(np.isfinite(fewest) & (drawn[size] <= CLOSE * fewest)))


def _examples(steps: Steps) -> float:
    return float((steps.fewest or 0) * steps.size)
