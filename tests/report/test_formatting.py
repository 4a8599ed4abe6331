"""Numbers, values and times as text."""

from __future__ import annotations

import pytest

from raytune_playbook.report.formatting import log_ticks, objective_text
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


def test_in13_the_choice_of_the_objective_is_in_words():
    assert objective_text(Objective()) == "lowest validation error over training"
    last = Objective(metric="accuracy", goal="maximize", over="last")
    assert objective_text(last) == "validation accuracy at the end of training; the highest is best"
