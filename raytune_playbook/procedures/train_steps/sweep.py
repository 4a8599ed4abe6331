"""A sweep of constant learning rates: which fit the training set, how fast, and whether the best is at an end of the
grid; pure functions.

The playbook's "Algorithm for picking an initial candidate for max_train_steps using a learning rate sweep".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pyarrow as pa

from raytune_playbook.study.settings import Objective

RATES_PER_DECADE = 2

REACH = 3
"""So many learning rates of a first grid lie on each side of its centre."""

NEAR = 2
"""The same of the grids for more steps, around the best rate so far."""

FURTHER = 2
"""So many more are tried beyond an end at which the best one is."""

NUM_EVALUATIONS = 20
"""A trial is evaluated at least so often, so that the steps it takes are known to a twentieth."""

FEWEST_STEPS = 20

End: TypeAlias = Literal["low", "high"]


@dataclass(frozen=True)
class Length:
    """How long the trials of a sweep are trained: ``num_steps``, a multiple of ``interval_steps``."""

    num_steps: int
    interval_steps: int


@dataclass(frozen=True)
class Fit:
    """What became of one learning rate.

    Fields:
        steps: after which the training set was fit; None where it was not.
        lowest: of the metric in training; None where it was never a finite number.
        reason: why the trial is infeasible; None where it is not.
    """

    learning_rate: float
    steps: int | None
    lowest: float | None
    reason: str | None = None


def length_of(num_steps: int, interval_steps: int) -> Length:
    """About so many steps, evaluated at least every ``interval_steps`` and `NUM_EVALUATIONS` times."""
    interval = max(1, min(interval_steps, num_steps // NUM_EVALUATIONS))
    return Length(math.ceil(num_steps / interval) * interval, interval)


def lengths(max_train_steps: int, interval_steps: int, most_steps: int) -> list[Length]:
    """From a quarter of what a job has, doubling, up to ``most_steps``."""
    found = [length_of(min(most_steps, max(FEWEST_STEPS, max_train_steps // 4)), interval_steps)]
    while 2 * found[-1].num_steps <= most_steps:
        found.append(length_of(2 * found[-1].num_steps, interval_steps))
    return found


def around(centre: float, reach: int) -> list[float]:
    """Learning rates on a logarithmic grid around one."""
    return [_rounded(centre * 10 ** (place / RATES_PER_DECADE)) for place in range(-reach, reach + 1)]


def beyond(fits: Iterable[Fit], end: End) -> list[float]:
    """Further learning rates beyond an end of those that were tried."""
    rates = [fit.learning_rate for fit in fits]
    start, sign = (max(rates), 1) if end == "high" else (min(rates), -1)
    return [_rounded(start * 10 ** (sign * place / RATES_PER_DECADE)) for place in range(1, FURTHER + 1)]


def fit_of(
    learning_rate: float, table: pa.Table | None, objective: Objective, target: float, reason: str | None = None
) -> Fit:
    """What became of a learning rate, from its trial's measurements and why it is infeasible, if it is."""
    if table is None or objective.metric not in table.column_names:
        return Fit(learning_rate, None, None, reason)
    rows = table.select(["step", "split", objective.metric]).to_pylist()
    values = {row["step"]: row[objective.metric] for row in rows if row["split"] == objective.split}
    finite = [value for value in values.values() if value is not None and math.isfinite(value)]
    steps = [step for step, value in values.items() if reason is None and objective.reaches(value, target)]
    return Fit(learning_rate, min(steps, default=None), min(finite, default=None), reason)


def best_of(fits: Sequence[Fit]) -> Fit | None:
    """The one that fit fastest; where none did, the one that came closest; of equal ones that in the middle."""
    finite = [fit for fit in fits if fit.lowest is not None and fit.reason is None]
    if not finite:
        return None
    best = min(map(_rank, finite))
    equal = sorted((fit for fit in finite if _rank(fit) == best), key=lambda fit: fit.learning_rate)
    return equal[len(equal) // 2]


def end_of(fits: Sequence[Fit]) -> End | None:
    """At which end of the grid the best learning rate is; None where it has worse ones on both sides.

    Where no training came to a finite number, the rates are too high, so that the low end is the one to go beyond.
    """
    best = best_of(fits)
    if best is None:
        return "low"
    rates = [fit.learning_rate for fit in fits]
    if best.learning_rate == max(rates):
        return "high"
    return "low" if best.learning_rate == min(rates) else None


def candidate(steps: int, interval_steps: int) -> int:
    """The fastest fit's steps, up to the next evaluation of the job: when in doubt, longer (rule LN3)."""
    return math.ceil(steps / interval_steps) * interval_steps


def _rank(fit: Fit) -> tuple[float, float]:
    # Of those that fit, the steps alone count: how far below the target one got says nothing.
    return (math.inf, fit.lowest or 0.0) if fit.steps is None else (fit.steps, 0.0)


def _rounded(rate: float) -> float:
    return float(f"{rate:.6g}")
