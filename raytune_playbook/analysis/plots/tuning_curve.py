"""The best of N trials against N, as in the playbook's Figure 3: would more trials help? (Rule IN2.)

The playbook simulates smaller budgets by bootstrapping the trials of one study. The best of N trials drawn so is at
most x with probability 1 - (1 - F(x))^N, where F(x) is the share of the trials that are at most x: its quantiles are
trials, and nothing has to be drawn.

A bootstrap's spread is no band for the truth, least of all near the number of trials that there are. The band here is
made of order statistics: the q-quantile of an unknown distribution lies above the k-th best of n independent trials
unless k or more of them fell below it, of which the binomial distribution tells the probability, whatever the
distribution of objectives (ties make it rarer). The levels q of a grid of N share the allowance evenly, and between
them the curve can only fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.sampled.points import Floats, points_of

COVERAGE = 0.8
"""Of bands: in 8 of 10 studies."""

GRID_FACTOR = 1.5
"""The numbers of trials at which a band is computed rise by so much, at least by one."""


@dataclass(frozen=True, eq=False)
class TuningCurve:
    """What the best of so many trials comes to, of one study.

    Infeasible trials count as worse than all others: where a number of trials may well bring nothing feasible, the
    curve is infinite (minus infinity for an objective of which large values are good).

    Fields:
        study: whose.
        num_trials: 1 to the number of its trials that ended, completed or infeasible, of shape (num_points,); so are
            the following.
        median, lower_quartile, upper_quartile: of the best of so many of the study's trials.
        band_low, band_high: where the true median lies with probability ``coverage``, whatever the distribution of
            objectives; infinite where the trials do not tell.
        coverage: of the band, simultaneously for all numbers of trials, for independent points; points of a
            quasi-random sequence are spread more evenly than those.
        trusted_up_to: up to how many trials the band is finite at both sides; 0 for none. Beyond, draw it grey.
    """

    study: str
    num_trials: npt.NDArray[np.int64]
    median: npt.NDArray[np.float64]
    lower_quartile: npt.NDArray[np.float64]
    upper_quartile: npt.NDArray[np.float64]
    band_low: npt.NDArray[np.float64]
    band_high: npt.NDArray[np.float64]
    coverage: float
    trusted_up_to: int


def tuning_curves(evidence: Evidence) -> tuple[TuningCurve, ...]:
    """The tuning curve of every study that has a completed trial."""
    is_minimized = evidence.objective.goal == "minimize"
    by_study: dict[str, list[Floats]] = {}
    for arm in evidence.arms:
        by_study.setdefault(arm.study, []).append(points_of(arm.ended, {}, evidence.objective).costs)
    curves = []
    for study, of_arms in by_study.items():
        costs = np.concatenate(of_arms)
        if np.isfinite(costs).any():
            curve = curve_of(study, costs)
            curves.append(curve if is_minimized else _flipped(curve))
    return tuple(curves)


def curve_of(study: str, costs: Sequence[float] | Floats, coverage: float = COVERAGE) -> TuningCurve:
    """The tuning curve of costs, of which small ones are good and infinite ones are infeasible."""
    ordered = np.sort(np.asarray(costs, dtype=float))
    numbers = np.arange(1, len(ordered) + 1)
    low, high = _band(ordered, coverage)
    trusted = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
    return TuningCurve(
        study,
        numbers,
        median=_best_of(ordered, numbers, 0.5),
        lower_quartile=_best_of(ordered, numbers, 0.25),
        upper_quartile=_best_of(ordered, numbers, 0.75),
        band_low=low,
        band_high=high,
        coverage=coverage,
        trusted_up_to=int(numbers[trusted[-1]]) if len(trusted) else 0,
    )


def _best_of(ordered: Floats, numbers: npt.NDArray[np.int64], share: float) -> Floats:
    """The quantile of the best of so many trials, drawn from those that there are."""
    places = np.ceil(_levels(numbers, share) * len(ordered) - 1e-9).astype(int)
    quantiles: Floats = ordered[np.clip(places - 1, 0, len(ordered) - 1)]
    return quantiles


def _levels(numbers: npt.NDArray[np.int64], share: float) -> Floats:
    """At which quantile of single trials the best of so many has its own."""
    levels: Floats = -np.expm1(np.log1p(-share) / numbers)
    return levels


def _band(ordered: Floats, coverage: float) -> tuple[Floats, Floats]:
    """Where the true median of the best of 1, 2, ..., num_trials trials lies, simultaneously."""
    num = len(ordered)
    grid = _grid(num)
    levels = _levels(grid, 0.5)
    allowance = (1 - coverage) / 2
    # A lower end is known only where trials probably fell below the quantile; the other levels need no allowance.
    shares = allowance / np.arange(1, len(grid) + 1)
    num_lower = max(1, int((binom.cdf(0, num, levels) <= shares).sum()))
    below = binom.ppf(allowance / num_lower, num, levels).astype(
        int
    )  # so many trials below it are too few to be chance
    above = binom.isf(allowance / len(grid), num, levels).astype(int) + 1
    low_at = np.where(below >= 1, ordered[np.clip(below - 1, 0, num - 1)], -np.inf)
    low_at[num_lower:] = -np.inf
    high_at = np.where(above <= num, ordered[np.clip(above - 1, 0, num - 1)], np.inf)
    # Between two numbers of the grid: no higher than at the one before, no lower than at the one after.
    numbers = np.arange(1, num + 1)
    before = np.searchsorted(grid, numbers, side="right") - 1
    after = np.searchsorted(grid, numbers, side="left")
    return np.minimum.accumulate(low_at)[after], np.minimum.accumulate(high_at)[before]


def _grid(most: int) -> npt.NDArray[np.int64]:
    """1 to ``most``, in steps that grow."""
    numbers = [1]
    while numbers[-1] < most:
        numbers.append(min(most, max(numbers[-1] + 1, round(numbers[-1] * GRID_FACTOR))))
    return np.asarray(numbers)


def _flipped(curve: TuningCurve) -> TuningCurve:
    """The same of an objective whose large values are good."""
    return TuningCurve(
        curve.study,
        curve.num_trials,
        median=-curve.median,
        lower_quartile=-curve.upper_quartile,
        upper_quartile=-curve.lower_quartile,
        band_low=-curve.band_high,
        band_high=-curve.band_low,
        coverage=curve.coverage,
        trusted_up_to=curve.trusted_up_to,
    )
