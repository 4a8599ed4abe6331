"""Rule AD3: a candidate against its baseline with both retrain variances, and how often the verdict is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from raytune_playbook.procedures.launch.comparison import (
    SURE,
    Because,
    Verdict,
    compare,
    median_interval,
)
from tests.procedures.launch.rates import NOISES, Case, adopted

NUM_LAUNCHES = 1000


def losses(mean: float, number: int = 20, spread: float = 0.01) -> list[float]:
    """The quantiles of a normal distribution, whose median is ``mean``."""
    return [mean + spread * float(stats.norm.ppf((place + 0.5) / number)) for place in range(number)]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("scales", [(1.0, 1.0), (3.0, 1.0), (1.0, 3.0)])
def test_ad3_without_a_difference_at_most_one_launch_in_twenty_is_adopted(
    noise: str, scales: tuple[float, float]
) -> None:
    share = adopted(Case(noise, 20, scales=scales), NUM_LAUNCHES)
    # A rate above 5% would show as more than this in all but one of a thousand such tests.
    assert share <= stats.binom.ppf(0.999, NUM_LAUNCHES, 0.05) / NUM_LAUNCHES


@pytest.mark.parametrize("noise", NOISES)
def test_ad3_a_difference_of_two_standard_deviations_is_adopted_nine_times_in_ten(noise: str) -> None:
    assert adopted(Case(noise, 20, gain=2.0), 100) >= 0.9


def test_ad3_the_median_is_compared_and_not_the_lucky_best() -> None:
    lucky = [*losses(0.2)[1:], 0.0]  # no better, with one run that beats all
    found = compare(lucky, losses(0.2))
    assert found is not None
    assert found.verdict is not Verdict.ADOPT
    steady = [*losses(0.17)[1:], 0.9]  # better, with one run that went wrong
    found = compare(steady, losses(0.2))
    assert found is not None
    assert found.verdict is Verdict.ADOPT


def test_ad3_a_candidate_that_is_no_better_is_not_adopted() -> None:
    for worse in (losses(0.2), losses(0.25)):
        found = compare(worse, losses(0.2))
        assert found is not None
        assert (found.verdict, found.because) == (Verdict.DO_NOT_ADOPT, Because.NOT_BETTER)
        assert found.probability <= 0.5


def test_ad3_few_retrainings_are_not_enough_evidence_and_none_are_no_comparison() -> None:
    assert compare([], losses(0.2)) is None
    found = compare(losses(0.1, 4), losses(0.2))
    assert found is not None
    assert (found.verdict, found.because) == (Verdict.NOT_ENOUGH_EVIDENCE, Because.FEW_RETRAININGS)


def test_ad3_as_many_retrainings_as_are_said_to_be_needed_show_the_gain() -> None:
    found = compare(losses(0.198), losses(0.2))
    assert found is not None
    assert (found.verdict, found.because) == (Verdict.NOT_ENOUGH_EVIDENCE, Because.CHANCE_OF_RETRAINING)
    assert found.num_needed is not None
    enough = compare(losses(0.198, found.num_needed), losses(0.2, found.num_needed))
    half = compare(losses(0.198, found.num_needed // 2), losses(0.2, found.num_needed // 2))
    assert enough is not None
    assert half is not None
    assert half.probability < enough.probability
    assert enough.probability == pytest.approx(SURE, abs=0.02)


def test_ad3_chance_among_the_validation_examples_is_no_smaller_for_more_retrainings() -> None:
    found = compare(losses(0.18, 1000), losses(0.2, 1000), sampling_error=0.015)
    assert found is not None
    assert (found.verdict, found.because) == (Verdict.NOT_ENOUGH_EVIDENCE, Because.CHANCE_OF_EXAMPLES)
    assert found.probability == pytest.approx(stats.norm.cdf(0.02 / 0.015), abs=0.002)
    assert found.num_needed is None  # none would do


def test_ad4_a_change_that_adds_complexity_has_to_show_in_single_runs() -> None:
    candidate, baseline = losses(0.192), losses(0.2)
    simple, complex_ = compare(candidate, baseline), compare(candidate, baseline, adds_complexity=True)
    assert simple is not None
    assert complex_ is not None
    assert simple.verdict is Verdict.ADOPT
    assert (complex_.verdict, complex_.because) == (Verdict.DO_NOT_ADOPT, Because.COMPLEXITY)
    # Of two normal distributions that are 0.8 standard deviations apart.
    assert complex_.pairs_won == pytest.approx(stats.norm.cdf(0.8 / math.sqrt(2)), abs=0.02)
    evident = compare(losses(0.18), baseline, adds_complexity=True)
    assert evident is not None
    assert evident.verdict is Verdict.ADOPT


def test_ad3_runs_that_were_infeasible_count_as_worse_than_any() -> None:
    often = [*losses(0.1, 8), *[math.inf] * 12]
    found = compare(often, losses(0.2))
    assert found is not None
    assert (found.verdict, found.because) == (Verdict.DO_NOT_ADOPT, Because.NOT_BETTER)
    other = compare(losses(0.2), often)
    assert other is not None
    assert other.verdict is Verdict.ADOPT
    both = compare(often, often)
    assert both is not None
    assert both.verdict is Verdict.DO_NOT_ADOPT


def test_ad1_the_interval_holds_the_median_nine_times_in_ten_whatever_the_distribution() -> None:
    rng = np.random.default_rng(0)
    for number in (5, 12, 20):
        intervals = [median_interval((rng.lognormal(size=number) - 1).tolist()) for _ in range(400)]
        held = [low <= 0 <= high for low, high in filter(None, intervals)]
        assert len(held) == 400
        assert sum(held) / 400 >= 0.87
    assert median_interval([0.1, 0.2, 0.3]) is None
