"""Correct predictions per class, read from measurements (rule EV6)."""

from __future__ import annotations

import pytest

from raytune_playbook.analysis.class_counts import (
    ClassCount,
    class_counts,
    gained,
    num_correct_column,
    num_examples_column,
)
from raytune_playbook.records.columns import measurements_table


def row(step: int, split: str, **counts: tuple[int, int]) -> dict[str, float | str]:
    found: dict[str, float | str] = {"step": step, "split": split, "error": 0.5}
    for name, (num_correct, num_examples) in counts.items():
        found |= {num_correct_column(name): num_correct, num_examples_column(name): num_examples}
    return found


MEASUREMENTS = measurements_table(
    [
        row(0, "train", common=(50, 90), rare=(0, 10)),
        row(0, "validation", common=(50, 95), rare=(0, 4)),
        row(10, "train", common=(80, 90), rare=(5, 10)),
        row(10, "validation", common=(90, 95), rare=(3, 4)),
        {"step": 10, "split": "step", "loss": 0.1},
    ]
)


def test_ev6_counts_at_a_step_the_rarest_class_first():
    assert class_counts(MEASUREMENTS, 10) == (ClassCount("rare", 4, 3), ClassCount("common", 95, 90))
    assert class_counts(MEASUREMENTS, 0, "train") == (ClassCount("rare", 10, 0), ClassCount("common", 90, 50))
    assert class_counts(MEASUREMENTS, 10, "step") == ()
    assert class_counts(MEASUREMENTS, 7) == ()
    assert class_counts(None, 0) == ()
    assert class_counts(measurements_table([{"step": 0, "split": "validation", "error": 0.1}]), 0) == ()


def test_ev6_was_it_just_one_more_example():
    before, after = ClassCount("rare", 20, 10), ClassCount("rare", 20, 11)
    assert after.sensitivity - before.sensitivity == pytest.approx(before.sensitivity_of_one) == 0.05
    assert gained(before, after) == "Class rare: sensitivity 0.5 to 0.55, which is +1 of 20 examples."


def test_a_class_without_examples_has_no_sensitivity():
    empty = ClassCount("unseen", 0, 0)
    assert empty.sensitivity is None
    assert empty.sensitivity_of_one is None
    assert gained(empty, empty) == "Class unseen has no examples here."


def test_counts_of_different_sets_are_not_compared():
    with pytest.raises(ValueError, match="counts of one class on one split"):
        gained(ClassCount("rare", 20, 10), ClassCount("rare", 21, 10))
