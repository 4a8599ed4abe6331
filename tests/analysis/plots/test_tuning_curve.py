"""Rule IN2: the best of N trials against N, and bands that mean what they say."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pytest

from raytune_playbook.analysis.plots.tuning_curve import COVERAGE, curve_of, tuning_curves
from raytune_playbook.study.settings import Objective
from tests.analysis.findings.generated import Plan, generated

DISTRIBUTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    # From uniform numbers to costs; and the same from levels to quantiles, the least x with F(x) >= level.
    "uniform": (lambda u: u, lambda q: q),
    "heavy tail": (lambda u: (1 - u) ** -2.0, lambda q: (1 - q) ** -2.0),
    "ties": (lambda u: np.ceil(u * 5), lambda q: np.ceil(q * 5 - 1e-12)),
    "mostly one value": (lambda u: np.where(u < 0.1, u, 1.0), lambda q: np.where(q < 0.1, q, 1.0)),
    "infeasible": (lambda u: np.where(u > 0.6, np.inf, u), lambda q: np.where(q > 0.6, np.inf, q)),
}


@pytest.mark.parametrize("num_trials", [4, 20, 100])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_in2_bands_hold_the_truth_at_every_number_of_trials_as_often_as_they_say(name: str, num_trials: int) -> None:
    cost_of, quantile_of = DISTRIBUTIONS[name]
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        curve = curve_of("study", cost_of(rng.random(num_trials)))
        truth = quantile_of(1 - 0.5 ** (1 / curve.num_trials))
        held += bool(((curve.band_low <= truth) & (truth <= curve.band_high)).all())
    assert held / 300 >= COVERAGE


@pytest.mark.parametrize(("coverage", "least", "most"), [(0.5, 0.5, 0.95), (0.95, 0.95, 1.0)])
def test_in2_bands_are_as_wide_as_they_must_be_and_not_much_wider(coverage: float, least: float, most: float) -> None:
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(300):
        curve = curve_of("study", rng.random(50), coverage)
        truth = 1 - 0.5 ** (1 / curve.num_trials)
        held += bool(((curve.band_low <= truth) & (truth <= curve.band_high)).all())
    assert least <= held / 300 <= most


def test_in2_the_curve_is_that_of_all_draws_of_the_trials() -> None:
    """An oracle: every draw of N of five trials with replacement."""
    costs = [0.3, 0.1, 0.5, 0.1, 0.9]
    curve = curve_of("study", costs)
    for num in range(1, 6):
        best = sorted(min(draw) for draw in itertools.product(costs, repeat=num))
        for share, values in ((0.25, curve.lower_quartile), (0.5, curve.median), (0.75, curve.upper_quartile)):
            assert values[num - 1] == best[int(np.ceil(share * len(best))) - 1]


def test_in2_the_part_that_says_nothing_is_told() -> None:
    curve = curve_of("study", np.random.default_rng(0).random(100))
    assert 8 <= curve.trusted_up_to < 50
    assert np.isfinite(curve.band_low[: curve.trusted_up_to]).all()
    assert np.isinf(curve.band_low[curve.trusted_up_to :]).all()
    assert (np.diff(curve.median) <= 0).all() and (np.diff(curve.band_high) <= 0).all()
    assert curve.band_high[4] == curve.band_high[3]  # five trials are between four and six, for which it was computed
    assert curve_of("study", [0.1, 0.2]).trusted_up_to == 0


def test_in2_each_study_has_a_curve_and_large_values_may_be_good() -> None:
    plan = Plan(arms=[{"depth": 1}, {"depth": 2}], trials_per_arm=12)
    small = generated(plan, 0, lambda values, rng: float(rng.random()))
    large = generated(
        dataclasses.replace(plan, objective=Objective(goal="maximize")), 0, lambda values, rng: -float(rng.random())
    )
    assert [curve.study for curve in tuning_curves(small)] == ["depth=1", "depth=2"]
    for one, other in zip(tuning_curves(small), tuning_curves(large), strict=True):
        np.testing.assert_array_equal(one.median, -other.median)
        for low, high in (("lower_quartile", "upper_quartile"), ("band_low", "band_high")):
            np.testing.assert_array_equal(getattr(one, low), -getattr(other, high))
            np.testing.assert_array_equal(getattr(one, high), -getattr(other, low))
        assert (other.band_low <= other.median).all()


def test_in2_infeasible_trials_count_as_worst() -> None:
    rounds = generated(Plan(), 0, lambda values, rng: "diverged: far off" if rng.random() < 0.8 else 0.1)
    (curve,) = tuning_curves(rounds)
    assert len(curve.num_trials) == 20
    assert np.isinf(curve.median[0])
    assert curve.median[-1] == 0.1
