"""Is a sample of the validation set large enough, and like the whole (rules EV5 and EV8)?"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from raytune_playbook.analysis.evaluation_sample import (
    SKEW_LIMIT,
    best_on_all,
    difference_error,
    noise_warning,
    skews,
    smallest_sample,
    standard_error,
)
from raytune_playbook.analysis.judging.objective import Best
from raytune_playbook.records.columns import measurements_table
from raytune_playbook.study.settings import Objective


def spread_over_all_samples(values: list[float], size: int) -> float:
    """Standard deviation of the mean over every sample of a size that there is."""
    return float(np.std([np.mean(sample) for sample in itertools.combinations(values, size)]))


@pytest.mark.parametrize("size", [1, 2, 5, 7, 8])
def test_ev5_the_standard_error_is_the_spread_over_all_possible_samples(size):
    values = [0.0, 1.0, 4.0, 1.0, -2.0, 0.5, 3.0, 9.0]
    assert standard_error(float(np.std(values)), size, 8) == pytest.approx(spread_over_all_samples(values, size))


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("num_wrong", [0, 2, 5, 10])
def test_ev5_of_an_error_rate(size, num_wrong):
    wrong = [1.0] * num_wrong + [0.0] * (10 - num_wrong)
    found = standard_error(math.sqrt(num_wrong / 10 * (1 - num_wrong / 10)), size, 10)
    assert found == pytest.approx(spread_over_all_samples(wrong, size), abs=1e-12)


def test_the_whole_set_is_itself_but_a_sample_where_no_total_is_given():
    assert standard_error(0.5, 100, 100) == 0.0
    assert standard_error(0.5, 100) == 0.05
    assert standard_error(0.5, 1, 1) == 0.5


def test_ev5_the_difference_of_two_models_has_at_most_the_stated_error():
    """Over all pairs of models on 6 examples; equality where their errors are apart."""
    num, size = 6, 3
    for wrong_a, wrong_b in itertools.combinations_with_replacement(itertools.product((0.0, 1.0), repeat=num), 2):
        exact = spread_over_all_samples([a - b for a, b in zip(wrong_a, wrong_b, strict=True)], size)
        bound = difference_error(sum(wrong_a) / num, sum(wrong_b) / num, size, num)
        assert exact <= bound + 1e-12
        if not any(a and b for a, b in zip(wrong_a, wrong_b, strict=True)):
            assert exact == pytest.approx(bound, abs=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("wanted", [1e-4, 0.003, 0.02, 0.7])
def test_ev5_the_smallest_sample_is_large_enough_and_no_smaller_one_is(rate, wanted):
    size = smallest_sample(rate, wanted, 5000)
    deviation = math.sqrt(rate * (1 - rate))
    assert standard_error(deviation, size, 5000) <= wanted * (1 + 1e-12)
    assert size == 1 or standard_error(deviation, size - 1, 5000) > wanted


def test_smallest_sample_of_one_example():
    assert smallest_sample(0.5, 0.01, 1) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: smallest_sample(0.1, 0.0, 100), "wanted_error must be above zero, but got 0"),
        (lambda: smallest_sample(1.5, 0.1, 10), "an error rate is between 0 and 1, but got 1.5"),
        (lambda: standard_error(1.0, 11, 10), "a sample has 1 to 10 examples, but got 11"),
        (lambda: standard_error(1.0, 0), "a sample has 1 to None examples"),
    ],
)
def test_impossible_numbers_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_ev5_a_difference_that_may_be_chance_is_warned_of():
    warning = noise_warning(0.100, 0.105, 500, 50_000)
    assert warning is not None
    assert warning.startswith(
        "EV5: 0.1 and 0.105 on a sample of 500 of 50,000 validation examples may differ by chance"
    )
    assert "a sample of 1,9" in warning  # four times as many, but for those that are drawn twice
    assert noise_warning(0.10, 0.20, 500, 50_000) is None
    assert noise_warning(0.100, 0.105, 50_000, 50_000) is None  # the whole set says what it says


# ------------------------------------------------------------------ skew


def scores(step: int, split: str, values: np.ndarray) -> dict[str, float | str]:
    error = values.std(ddof=1) / math.sqrt(len(values))
    found = {"error": values.mean(), "standard_error.error": error, "num_examples": len(values), "precision": 0.5}
    return {"step": step, "split": split} | found


def test_ev5_skew_is_measured_against_what_a_random_sample_may_differ_by():
    whole = (np.random.default_rng(0).random(2000) < 0.2).astype(float)
    sample = whole[:200]
    rows = [scores(20, "validation", sample), scores(20, "validation_full", whole), scores(10, "validation", sample)]
    (skew,) = skews(measurements_table(rows))
    assert (skew.step, skew.metric, skew.sampled, skew.full) == (20, "error", sample.mean(), whole.mean())
    assert skew.standard_error == pytest.approx(standard_error(whole.std(), 200, 2000), rel=1e-12)
    assert not skew.is_skewed
    (skew,) = skews(measurements_table([scores(20, "validation", np.sort(whole)[-200:]), rows[1]]))
    assert skew.num_standard_errors > 5 * SKEW_LIMIT
    assert skew.is_skewed


def test_ev5_random_samples_are_hardly_ever_called_skewed():
    rng = np.random.default_rng(1)
    whole = rng.random(500)
    rows = [scores(step, "validation", rng.choice(whole, 100, replace=False)) for step in range(300)]
    found = skews(measurements_table([*rows, *(scores(step, "validation_full", whole) for step in range(300))]))
    distances = np.array([skew.num_standard_errors for skew in found])
    assert (distances > 1).mean() == pytest.approx(0.317, abs=0.1)
    assert sum(skew.is_skewed for skew in found) <= 5


def test_a_sample_that_is_the_whole_set_has_no_skew():
    values = np.array([0.0, 1.0, 1.0])
    (skew,) = skews(measurements_table([scores(5, "validation", values), scores(5, "validation_full", values)]))
    assert skew.num_standard_errors == 0.0


def test_without_a_full_evaluation_there_is_nothing_to_compare():
    assert skews(None) == ()
    assert skews(measurements_table([{"step": 0, "split": "validation", "error": 0.1}])) == ()


def test_ev8_kept_checkpoints_are_selected_by_their_scores_on_the_whole_set():
    rows = [
        {"step": 10, "split": "validation", "error": 0.10},
        {"step": 20, "split": "validation", "error": 0.12},
        {"step": 10, "split": "validation_full", "error": 0.14},
        {"step": 20, "split": "validation_full", "error": 0.13},
    ]
    assert best_on_all(measurements_table(rows), Objective()) == Best(0.13, 20)
    assert best_on_all(measurements_table(rows[:2]), Objective()) is None
    assert best_on_all(measurements_table(rows), Objective(metric="loss")) is None
    assert best_on_all(None, Objective()) is None
