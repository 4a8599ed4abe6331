"""Has tuning saturated? The gains of launches against the retrain variance (rule IN19)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raytune_playbook.records.registry import LaunchRecord

NUM_SMALL = 2
"""So many gains in a row that are no larger than chance are no accident."""


@dataclass(frozen=True)
class Gain:
    """What one candidate brought over its baseline.

    Fields:
        gain: of the medians; above zero where it was better.
        deviation: of its retrainings.
    """

    gain: float
    deviation: float

    @property
    def is_small(self) -> bool:
        """Whether a single training would not show it."""
        return self.gain <= self.deviation


def is_saturated(gains: Sequence[Gain]) -> bool:
    """Whether the last few candidates, the newest last, gained no more than retraining changes."""
    return len(gains) >= NUM_SMALL and all(each.is_small for each in gains[-NUM_SMALL:])


def gains_of(launches: Sequence[LaunchRecord]) -> list[Gain]:
    """Of a workload's launches, the newest last: those over what was in use before each, and over nothing else."""
    in_use = [None, *(each.number for each in launches)]
    return [
        Gain(each.gain, each.deviation)
        for before, each in zip(in_use, launches, strict=False)
        if each.replaced_launch == before and each.gain is not None and each.deviation is not None
    ]


def is_next(launches: Sequence[LaunchRecord], baseline: int | None, began_at: str) -> bool:
    """Whether a candidate tells how tuning goes on: held against what is in use, and its round newer than that.

    Args:
        launches: of the workload, the newest last.
        baseline: the launch that it is held against; None for none.
        began_at: when its round began.
    """
    if not launches:
        return True
    return baseline == launches[-1].number and began_at >= launches[-1].launched_at
