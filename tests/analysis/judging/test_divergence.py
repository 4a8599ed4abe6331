"""The stated test of divergence."""

from __future__ import annotations

import math

import pytest

from raytune_playbook.analysis.judging.divergence import diverged, diverged_again
from raytune_playbook.records.columns import measurements_table


@pytest.mark.parametrize(
    ("initial", "last", "expected"),
    [
        (2.0, 4.0, False),  # exactly the factor is not over it
        (2.0, 4.0001, True),
        (2.0, 0.1, False),
        (2.0, math.nan, False),  # infeasible for another reason
        (2.0, math.inf, False),
        (math.nan, 5.0, False),
        (0.0, 5.0, False),
        (-3.0, -1.0, False),  # a multiple of a negative loss says nothing
    ],
)
def test_in3_diverged_is_finite_but_far_off(initial, last, expected):
    assert diverged(initial, last, 2.0) is expected


def losses(values: list[float | None]) -> object:
    rows = [{"step": step, "split": "step", "loss": value} for step, value in enumerate(values, start=1)]
    evaluations = [{"step": 0, "split": split, "loss": 1e9} for split in ("train", "validation")]
    return measurements_table([*evaluations, *reversed(rows)])


def test_in3_analysis_redoes_the_test_over_the_last_interval():
    # Steps 1..10, an evaluation every 5: the last interval is 6..10 with a mean of 5.
    table = losses([2.0, 90.0, 90.0, 90.0, 90.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert diverged_again(table, evaluation_interval_steps=5, factor=2.49) is True
    assert diverged_again(table, evaluation_interval_steps=5, factor=2.5) is False


def test_in3_last_interval_may_be_shorter():
    # Steps 1..6, an evaluation every 5: after the one at 5 comes only step 6.
    table = losses([2.0, 90.0, 90.0, 90.0, 90.0, 3.0])
    assert diverged_again(table, evaluation_interval_steps=5, factor=1.5) is False
    assert diverged_again(table, evaluation_interval_steps=5, factor=1.49) is True


def test_in3_without_training_steps_nothing_can_be_said():
    assert diverged_again(losses([]), evaluation_interval_steps=5, factor=2.0) is None
    assert diverged_again(losses([None]), evaluation_interval_steps=5, factor=2.0) is None
    assert diverged_again(measurements_table([]), evaluation_interval_steps=5, factor=2.0) is None
