"""A trial's objective, by any objective and at any time."""

from __future__ import annotations

import math

import pytest

from raytune_playbook.analysis.judging.objective import Best, best_of, trial_objective
from raytune_playbook.records.columns import measurements_table
from raytune_playbook.study.settings import Objective

ROWS = [
    {"step": 1, "split": "step", "loss": 0.001},
    {"step": 0, "split": "validation", "loss": 2.0, "error": 0.9},
    {"step": 0, "split": "train", "loss": 2.1, "error": 0.8},
    {"step": 10, "split": "validation", "loss": 0.7, "error": 0.2},
    {"step": 10, "split": "train", "loss": 0.6, "error": 0.3},
    {"step": 20, "split": "validation", "loss": 0.5, "error": 0.4},
    {"step": 20, "split": "train", "loss": 0.2, "error": 0.1},
]


def test_in13_best_value_over_training_is_the_default():
    assert best_of([0, 10, 20], [0.9, 0.2, 0.4], Objective()) == Best(value=0.2, step=10)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Objective(), (0.2, 10)),
        (Objective(over="last"), (0.4, 20)),
        (Objective(metric="loss"), (0.5, 20)),
        (Objective(split="train"), (0.1, 20)),
        (Objective(goal="maximize"), (0.9, 0)),
        (Objective(metric="absent"), None),
    ],
)
def test_qr5_any_objective_can_be_recomputed_from_the_measurements(objective, expected):
    assert trial_objective(measurements_table(ROWS), objective) == expected


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_ties_go_to_the_earliest_step_in_any_order_of_rows(goal):
    assert best_of([30, 10, 20], [0.5, 0.5, 0.5], Objective(goal=goal)) == (0.5, 10)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_not_finite_is_never_the_best(value):
    assert best_of([0, 10], [0.5, value], Objective()) == (0.5, 0)
    assert best_of([0, 10], [0.5, value], Objective(goal="maximize")) == (0.5, 0)
    assert best_of([0], [value], Objective()) is None


def test_the_last_value_is_not_replaced_by_an_earlier_one():
    assert best_of([0, 10], [0.5, math.nan], Objective(over="last")) is None


def test_no_measurements_no_objective():
    assert best_of([], [], Objective()) is None
    assert trial_objective(None, Objective()) is None
