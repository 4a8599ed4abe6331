"""Has tuning saturated? The gains of launches against the retrain variance (rule IN19)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
