"""What was searched, inferred from a sample of it."""

from __future__ import annotations

import numpy as np
import pytest

from raytune_playbook.report.foreign.ranges import inferred_range, inferred_scale
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int

SEARCHED = [
    Float(1e-4, 1.0, scale="log"),
    Float(0.0, 0.5),
    Float(0.5, 0.999, scale="log_one_minus"),
]


def sampled(searched: Float, num_points: int, seed: int) -> list[float]:
    return [searched.from_unit(unit) for unit in np.random.default_rng(seed).uniform(size=num_points)]


@pytest.mark.parametrize("searched", SEARCHED, ids=lambda searched: searched.scale)
def test_the_scale_that_a_sample_was_drawn_on_is_found(searched):
    found = [inferred_scale(sampled(searched, 30, seed)) for seed in range(200)]
    assert found.count(searched.scale) >= 190


@pytest.mark.parametrize("searched", SEARCHED, ids=lambda searched: searched.scale)
def test_in1_a_range_is_not_taken_to_end_at_the_outermost_values(searched):
    """On average the ends lie where they were, and not where the sample ends."""
    ends = []
    for seed in range(200):
        values = sampled(searched, 20, seed)
        found = inferred_range(values)
        if isinstance(found, Float) and found.scale == searched.scale:
            assert found.low <= min(values)
            assert found.high >= max(values)
            clipped = [min(max(end, searched.low), searched.high) for end in (found.low, found.high)]
            ends.append([searched.to_unit(end) for end in clipped])
    low, high = np.mean(ends, axis=0)
    beyond = 1 / 21  # what a sample of 20 leaves uncovered at either end, on average
    assert low < beyond / 2
    assert high > 1 - beyond / 2


def test_values_that_come_again_and_again_are_a_list():
    assert inferred_range([0.1, 0.2, 0.4] * 5) == Discrete([0.1, 0.2, 0.4])
    assert inferred_range([4, 2, 2, 4, None]) == Discrete([2, 4])
    assert inferred_range([0.9, None]) == Discrete([0.9])  # in some trials alone
    assert inferred_range([True, False, None]) == Categorical([True, False])
    assert inferred_range(["b", "a", "b"]) == Categorical(["b", "a"])
    assert inferred_range(["auto", 1, 2]) == Categorical(["auto", 1, 2])


def test_whole_numbers_stay_whole():
    assert inferred_range([1, 3, 5, 6, 9, 12, 14, 17, 19, 20]) == Int(0, 22)
    assert inferred_range([2**power for power in range(11)]) == Int(1, 2048, scale="log")


def test_no_share_above_1_and_no_count_below_1_on_a_log_scale_is_taken_to_have_been_searched():
    assert inferred_range([0.05, 0.35, 0.6, 0.99]).high == 1
    assert inferred_range([1, 3, 10, 33, 100]).low == 1


def test_a_range_is_taken_to_end_where_several_values_were_cut():
    cut = inferred_range([0.2, 0.5, 0.52, 0.61, 0.77, 0.9, 0.9])
    assert (cut.low, cut.high) == (pytest.approx(0.2 - 0.7 / 6), 0.9)
    assert inferred_range([0.01, 0.31, 0.45]).low == 0  # no share below 0 is taken to have been searched
