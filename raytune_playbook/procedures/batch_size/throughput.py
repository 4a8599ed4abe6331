"""How fast batch sizes are trained, what limits them, and which to take before steps are measured (rules BA2 to BA4).

See the playbook's "Determining the feasible batch sizes and estimating training throughput".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.records.columns import SPLIT, STEP, TIME_COLUMNS, TRAIN_STEPS_SPLIT

Part: TypeAlias = Literal["input", "synchronization", "compute"]
PARTS: tuple[Part, ...] = get_args(Part)

_COLUMNS: Mapping[Part, tuple[str, ...]] = {
    "input": ("wait_s", "transfer_s", "augment_s"),
    "synchronization": ("sync_s",),
    "compute": ("compute_s",),
}

NEARLY_DOUBLES = 1.75
"""By so much throughput has to grow where the batch doubles, for the time per step to be nearly constant."""

PAYS = 2**0.5
"""Where it grows by this, a step of twice the batch costs 1.41 times as much: it pays unless the number of steps falls
by less than half of what perfect scaling brings, on a logarithmic scale."""

GROWS = 1.05
"""Throughput that no larger size exceeds by this factor has stopped growing."""


@dataclass(frozen=True)
class StepTimes:
    """The training steps of one batch size, those of the first interval left out.

    Fields:
        size: examples of a global batch.
        interval_s: mean seconds of a step in each interval between two evaluations, of shape (num_intervals,).
        parts_s: mean seconds of a step by what it was spent on.
        num_steps: that were measured.
        peak_memory_bytes: the most that a worker took; None where that is not known.
    """

    size: int
    interval_s: tuple[float, ...]
    parts_s: Mapping[Part, float]
    num_steps: int
    peak_memory_bytes: int | None = None

    @cached_property
    def step_s(self) -> float:
        """The median over the intervals, which an interruption of the machine does not move."""
        return float(np.median(self.interval_s))

    @property
    def examples_per_s(self) -> float:
        """The throughput."""
        return self.size / self.step_s

    @property
    def slowest_per_s(self) -> float:
        """The throughput in the slowest interval."""
        return self.size / max(self.interval_s)

    @property
    def fastest_per_s(self) -> float:
        """The throughput in the fastest interval."""
        return self.size / min(self.interval_s)

    def share(self, part: Part) -> float:
        """A part's share of the steps' time."""
        return self.parts_s[part] / sum(self.parts_s.values())


def step_times(size: int, measurements: pa.Table, steps_per_interval: int, peak_memory_bytes: int | None) -> StepTimes:
    """What a trial has measured of its steps.

    Args:
        measurements: of shape (num_rows, num_columns), as `raytune_playbook.records.columns` has them.
        steps_per_interval: between two evaluations.

    Raises:
        ValueError: it has not come beyond the first interval.
    """
    steps = measurements.filter(pc.equal(measurements[SPLIT], TRAIN_STEPS_SPLIT)).sort_by(STEP)
    num = steps.num_rows // steps_per_interval * steps_per_interval
    parts = {part: _summed(steps, columns)[steps_per_interval:num] for part, columns in _COLUMNS.items()}
    whole = sum(parts.values(), np.zeros(max(0, num - steps_per_interval)))
    if not len(whole):
        raise ValueError(f"the first interval's {steps_per_interval} steps warm up, but there are {steps.num_rows}")
    intervals = whole.reshape(-1, steps_per_interval).mean(axis=1)
    return StepTimes(
        size=size,
        interval_s=tuple(intervals.tolist()),
        parts_s={part: float(seconds.mean()) for part, seconds in parts.items()},
        num_steps=len(whole),
        peak_memory_bytes=peak_memory_bytes,
    )


def _summed(steps: pa.Table, columns: Sequence[str]) -> npt.NDArray[np.float64]:
    assert set(columns) <= set(TIME_COLUMNS)
    return sum((steps[name].to_numpy() for name in columns), np.zeros(steps.num_rows))


@dataclass(frozen=True)
class Bottleneck:
    """What keeps a doubled batch from being trained in nearly the time of the smaller one.

    Fields:
        smaller, larger: the first two sizes of which that is so.
        factor: by which the throughput grows between them.
        part: what grows most of the time per step.
        share: of that part in what the time per step grows by.
    """

    smaller: int
    larger: int
    factor: float
    part: Part
    share: float


@dataclass(frozen=True)
class Scaling:
    """How the throughput goes with the batch size.

    Fields:
        sizes: those that fit, in rising order.
    """

    sizes: tuple[StepTimes, ...]

    def of(self, size: int) -> StepTimes:
        """What was measured of one size."""
        return next(each for each in self.sizes if each.size == size)

    @property
    def factors(self) -> tuple[float | None, ...]:
        """By how much each throughput exceeds that of the size before; None of the first."""
        return (None, *(after.examples_per_s / before.examples_per_s for before, after in pairwise(self.sizes)))

    @cached_property
    def stops_at(self) -> int:
        """The size at which the throughput stops growing: none beyond it is to be considered (rule BA4)."""
        best = [max(each.examples_per_s for each in self.sizes[place:]) for place in range(len(self.sizes))]
        return next(
            each.size for each, most in zip(self.sizes, best, strict=True) if each.examples_per_s * GROWS >= most
        )

    @property
    def nearly_doubles_to(self) -> int:
        """Up to which size each doubling nearly doubles the throughput, as far as its spread tells (rule BA3)."""
        return self._grows_to(NEARLY_DOUBLES)

    @property
    def pays_to(self) -> int:
        """Up to which size a doubling pays even where the number of steps falls by half of what it should."""
        return min(self.stops_at, self._grows_to(PAYS))

    @cached_property
    def bottleneck(self) -> Bottleneck | None:
        """What ends the doubling of the throughput; None where nothing does among the sizes that fit."""
        place = next(number for number, each in enumerate(self.sizes) if each.size == self.nearly_doubles_to)
        if place + 1 == len(self.sizes):
            return None
        before, after = self.sizes[place : place + 2]
        grown = {part: after.parts_s[part] - before.parts_s[part] for part in PARTS}
        part = max(PARTS, key=lambda each: grown[each])
        rising = sum(more for more in grown.values() if more > 0)
        share = grown[part] / rising if rising > 0 else 0.0
        return Bottleneck(before.size, after.size, after.examples_per_s / before.examples_per_s, part, share)

    def _grows_to(self, factor: float) -> int:
        """The last size before the first doubling by which the throughput certainly grows less than by a factor."""
        for before, after in pairwise(self.sizes):
            most = after.fastest_per_s / before.slowest_per_s
            if after.examples_per_s / before.examples_per_s < factor and most < factor:
                return before.size
        return self.sizes[-1].size
