"""Rules LN2 and LN3: the grid of learning rates, the fastest fit, and the refusal at an end of the grid."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

from raytune_playbook import Objective
from raytune_playbook.procedures.train_steps.sweep import (
    FURTHER,
    NUM_EVALUATIONS,
    REACH,
    Fit,
    around,
    best_of,
    beyond,
    candidate,
    end_of,
    fit_of,
    length_of,
    lengths,
)

ERROR = Objective(metric="error", split="train")


def fits(*steps_or_lowest: int | float | None, reasons: tuple[int, ...] = ()) -> list[Fit]:
    """Of rates 1, 10, 100, ...: whole numbers are steps to fit, fractions what was reached instead."""
    found = []
    for place, each in enumerate(steps_or_lowest):
        is_fit = isinstance(each, int)
        reason = "diverged" if place in reasons else None
        found.append(Fit(10.0**place, each if is_fit else None, 0.0 if is_fit else each, reason))
    return found


def test_ln2_a_grid_is_even_on_a_logarithmic_scale_and_goes_on_beyond_its_ends():
    rates = around(0.01, REACH)
    assert rates == pytest.approx([0.01 * 10 ** (place / 2) for place in range(-3, 4)], rel=1e-5)
    tried = [Fit(rate, None, 0.5) for rate in rates]
    assert beyond(tried, "high") == pytest.approx([max(rates) * 10 ** (place / 2) for place in (1, 2)], rel=1e-5)
    assert beyond(tried, "low") == pytest.approx([min(rates) / 10 ** (place / 2) for place in (1, 2)], rel=1e-5)
    assert len(beyond(tried, "low")) == FURTHER
    assert around(around(0.01, 1)[2], 1)[0] == 0.01  # a grid around a rate of another has its rates


@pytest.mark.parametrize(
    ("tried", "best", "end"),
    [
        (fits(50, 20, 30), 1, None),
        (fits(50, 20, 10), 2, "high"),
        (fits(10, 20, 30), 0, "low"),
        (fits(0.5, 20, 0.3), 1, None),
        (fits(0.5, 0.1, 0.3), 1, None),  # none fits: the closest
        (fits(0.5, 0.3, 0.1), 2, "high"),
        (fits(30, 10, 0.9, reasons=(2,)), 1, None),  # a rate that diverges is beyond the best one, and was tried
        (fits(0.2, 0.1, 0.05, reasons=(2,)), 1, None),
        (fits(20, 10, 10, 10, 30), 2, None),  # of equal ones that in the middle
        (fits(0.5, None, 0.7), 0, "low"),
        (fits(30, 10, 10), 2, "high"),
    ],
)
def test_ln2_the_fastest_fit_is_best_and_one_at_an_end_of_the_grid_is_told(tried, best, end):
    assert best_of(tried) == tried[best]
    assert end_of(tried) == end
    assert end_of(tried[::-1]) == end  # whatever the order


def test_ln2_where_every_rate_diverges_lower_ones_are_tried():
    tried = fits(None, None, reasons=(0, 1))
    assert best_of(tried) is None
    assert end_of(tried) == "low"


def test_ln2_the_steps_to_fit_are_those_of_the_first_evaluation_at_the_target():
    table = pa.table(
        {
            "step": [0, 10, 20, 30, 10, 20],
            "split": ["train", "train", "train", "train", "validation", "train_steps"],
            "error": [0.9, math.nan, 0.0, 0.0, 0.0, None],
        }
    )
    assert fit_of(0.1, table, ERROR, 0.0) == Fit(0.1, 20, 0.0)
    assert fit_of(0.1, table.slice(0, 2), ERROR, 0.0) == Fit(0.1, None, 0.9)
    assert fit_of(0.1, table, ERROR, 0.0, "NaN: loss") == Fit(0.1, None, 0.0, "NaN: loss")
    assert fit_of(0.1, None, ERROR, 0.0) == Fit(0.1, None, None)
    assert fit_of(0.1, table, Objective(metric="loss", split="train"), 0.5) == Fit(0.1, None, None)


@pytest.mark.parametrize(("num_steps", "interval"), [(200, 25), (50, 25), (20, 100), (7, 3), (1, 1), (1999, 10)])
def test_ln2_steps_are_whole_intervals_and_evaluated_often_enough(num_steps, interval):
    length = length_of(num_steps, interval)
    assert num_steps <= length.num_steps < num_steps + length.interval_steps
    assert length.num_steps % length.interval_steps == 0
    assert length.interval_steps == 1 or length.num_steps // length.interval_steps >= NUM_EVALUATIONS
    assert length.interval_steps <= interval


def test_ln2_steps_double_up_to_the_most():
    assert [length.num_steps for length in lengths(200, 25, 800)] == [50, 100, 200, 400, 800]
    assert [length.num_steps for length in lengths(200, 25, 150)] == [50, 100]
    assert [length.num_steps for length in lengths(200, 25, 5)] == [5]


@pytest.mark.parametrize(("steps", "interval", "expected"), [(36, 25, 50), (50, 25, 50), (1, 10, 10), (51, 25, 75)])
def test_ln3_the_candidate_is_rounded_up(steps, interval, expected):
    assert candidate(steps, interval) == expected
