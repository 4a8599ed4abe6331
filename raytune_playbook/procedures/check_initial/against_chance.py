"""Is a metric clearly better than chance? From its value, and its values where predictions and labels don't belong
together; pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from raytune_playbook.study.settings import Objective

SIGNIFICANT = 0.01
"""A p-value of at most this much is no chance."""

CLEARLY = 0.1
"""By so large a share of the level of chance a value is better, to be clearly so."""


@dataclass(frozen=True)
class Scored:
    """A model's metric on validation examples, and what it would be without anything learned.

    Fields:
        metric: its name.
        value: of the model.
        permuted: with the labels permuted among the examples, one for each permutation; empty where that can't be.
        why_not_permuted: why it can't be; else empty.
        constant: where the model says of every example what it says on average; None where that can't be told.
        num_examples: that were scored.
    """

    metric: str
    value: float
    permuted: tuple[float, ...]
    why_not_permuted: str
    constant: float | None
    num_examples: int


@dataclass(frozen=True)
class Judged:
    """What became of the comparison.

    Fields:
        chance: the median over the permutations; of what can't be permuted, the untrained model's value.
        p_value: share of permutations (the true labels counted as one of them) at least as good as the value; None
            where none were made.
        level: the best of all that needs nothing learned: what is to be beaten.
        level_of: what that is, in words.
        share: by which part of that level the value is better; below zero where it is worse.
    """

    chance: float
    p_value: float | None
    level: float
    level_of: str
    share: float

    @property
    def is_clearly_better(self) -> bool:
        return (self.p_value is None or self.p_value <= SIGNIFICANT) and self.share >= CLEARLY


def judged(scored: Scored, untrained: float | None, objective: Objective) -> Judged | None:
    """Compare a value with all that needs nothing learned.

    Args:
        untrained: the same metric before the first step; None where it was not a finite number.
        objective: says whether small or large values are good.

    Returns:
        None where the value is not finite, or there is nothing to compare it with.
    """
    permuted = [value for value in scored.permuted if math.isfinite(value)]
    chance = median(permuted) if permuted else untrained
    if chance is None or not math.isfinite(scored.value):
        return None
    levels = [(chance, "permuted labels" if permuted else "the untrained model")]
    if scored.constant is not None and math.isfinite(scored.constant):
        levels.append((scored.constant, "the same guess for every example"))
    if untrained is not None and permuted:
        levels.append((untrained, "the untrained model"))
    level, level_of = min(levels, key=lambda each: each[0] if objective.goal == "minimize" else -each[0])
    gain = level - scored.value if objective.goal == "minimize" else scored.value - level
    share = gain / abs(level) if level else math.copysign(math.inf, gain) if gain else 0.0
    return Judged(chance, _p_value(scored.value, permuted, objective), level, level_of, share)


def _p_value(value: float, permuted: Sequence[float], objective: Objective) -> float | None:
    if not permuted:
        return None
    num_as_good = sum(not objective.is_better(value, each) for each in permuted)
    return (1 + num_as_good) / (1 + len(permuted))
