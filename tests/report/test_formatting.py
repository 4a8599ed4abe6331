"""Numbers, values and times as text."""

from __future__ import annotations

import pytest

from raytune_playbook.analysis.wording import bytes_text, duration_text, number_text
from raytune_playbook.report.formatting import log_ticks, objective_text, range_text
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.settings import Objective


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-4, 1.0, [1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        (1e-2, 1.0, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
        (0.1, 0.3, [0.1, 0.15, 0.2, 0.3]),
        (1e-12, 1.0, [1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1.0]),
    ],
)
def test_log_ticks_are_few_and_round(low, high, ticks):
    assert log_ticks(low, high) == ticks


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (0, "0 s"),
        (0.0123, "12.3 ms"),
        (1, "1 s"),
        (45.678, "45.7 s"),
        (59.96, "1 min 00 s"),
        (61.4, "1 min 01 s"),
        (600, "10 min 00 s"),
        (3599.6, "1 h 00 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations_have_the_unit_that_suits_them(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (None, "—"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (45.67 * 2**20, "45.7 MiB"),
        (999.9 * 2**20, "0.976 GiB"),
        (80 * 2**30, "80 GiB"),
        (1500 * 2**30, "1.465 TiB"),
    ],
)
def test_memory_has_the_unit_that_suits_it(num_bytes, text):
    assert bytes_text(num_bytes) == text


def test_in13_the_choice_of_the_objective_is_in_words():
    assert objective_text(Objective()) == "lowest validation error over training"
    last = Objective(metric="accuracy", goal="maximize", over="last")
    assert objective_text(last) == "validation accuracy at the end of training; the highest is best"


def test_absent_is_a_dash_and_zero_is_a_number():
    assert (number_text(None), number_text(0.0)) == ("—", "0")


@pytest.mark.parametrize(
    ("hyperparameter", "text"),
    [
        (Float(1e-4, 1, scale="log"), "0.0001 to 1, log scale"),
        (Float(0.5, 0.99, scale="log_one_minus"), "0.5 to 0.99, log scale in 1 - value"),
        (Int(1, 8), "1 to 8"),
        (Int(1, 8, when={"optimizer": ["adam", "nadam"]}), "1 to 8, where optimizer = adam or nadam"),
        (Discrete([16, 32]), "16, 32"),
        (Categorical(["a", None]), "a, none"),
    ],
)
def test_ranges(hyperparameter, text):
    assert range_text(hyperparameter) == text
