"""What checkpoints take, counted by hand."""

from __future__ import annotations

import pytest

from raytune_playbook.study.checks.disk_price import CheckpointSize, disk_price
from raytune_playbook.study.settings import GIB, Budget

SIZE = CheckpointSize(model_bytes=100, training_bytes=30)


def budget(**fields: object) -> Budget:
    return Budget(**{"num_trials": 6, "max_train_steps": 100, "evaluation_interval_steps": 10} | fields)


@pytest.mark.parametrize(
    ("fields", "kept", "peak"),
    [
        ({}, 2 * 100 + 30, 3 * 100 + 2 * 30),  # the best and the latest, and one that is being written
        ({"num_best_checkpoints": 4}, 5 * 100 + 30, 6 * 100 + 2 * 30),
        ({"num_best_checkpoints": 99}, 11 * 100 + 30, 12 * 100 + 2 * 30),  # no more than there are evaluations
        ({"num_best_checkpoints": 99, "checkpoint_interval_steps": 50}, 3 * 100 + 30, 4 * 100 + 2 * 30),
        ({"whole_checkpoints": (20, 40)}, 4 * 100 + 3 * 30, 5 * 100 + 4 * 30),
    ],
)
def test_what_a_trial_keeps_and_takes_while_it_runs(fields, kept, peak):
    assert (SIZE.kept_bytes(budget(**fields)), SIZE.peak_bytes(budget(**fields))) == (kept, peak)


def test_the_price_of_what_is_left_counts_each_study_by_its_own_size_or_the_largest():
    price = disk_price({"a": SIZE, "b": CheckpointSize(10, 3)}, {"a": 2, "b": 3, "c": 1}, budget(), num_gangs=2)
    assert price is not None
    assert price.trials == {"a": (2, 230), "b": (3, 23), "c": (1, 230)}
    assert (price.kept_bytes, price.first_bytes) == (3 * 230 + 3 * 23, 2 * 230 + 23)
    assert (price.running_bytes, price.writing_bytes) == (2 * 360, 2 * 130)
    assert price.most_bytes(None) == price.kept_bytes + 2 * 130
    assert price.most_bytes(500 / GIB) == 500
    last = disk_price({"a": SIZE}, {"a": 1}, budget(), num_gangs=2)
    assert last is not None
    assert last.running_bytes == 360  # one that is left runs alone
    assert disk_price({}, {"a": 1}, budget(), num_gangs=2) is None
