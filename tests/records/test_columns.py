"""What the columns of the tables on disk are called, and of which type they are; old and new records read alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace

import pytest

from raytune_playbook.records.columns import STEP_COLUMNS, TIME_COLUMNS, measurements_table, training_of, trials_table
from raytune_playbook.records.types import TimeByPart, Training, TrialRecord

TRAINING = Training(
    num_steps=100,
    num_parameters=7,
    train_s=12.5,
    time_by_part=TimeByPart(wait_s=1.0, transfer_s=2.0, sync_s=3.0, augment_s=4.0, compute_s=5.0),
    evaluations_s=6.0,
    stages={"read": 0.5},
    best_checkpoint_step=80,
    peak_memory_bytes=3 * 2**30,
)


def test_the_columns_of_a_trials_table(make_trial: Callable[..., TrialRecord]) -> None:
    schema = trials_table([make_trial("a", 0, {"rate": 0.5}, training=TRAINING)]).schema
    attempt = "number: int32, gang: string, started_at: string, ended: string, traceback: string, first_step: int64, "
    attempt += "source_hash: string"
    machine = (
        "torch: string, cpu_capability: string, device: string, num_workers: int32, threads_per_worker: int32, "
        "hosts: list<item: string>, cores: list<item: int32>"
    )
    assert {field.name: str(field.type) for field in schema} == {
        "study": "string",
        "index": "int64",
        "repeat": "int32",
        "outcome": "string",
        "reason": "string",
        "objective": "double",
        "best_step": "int64",
        "best_checkpoint_step": "int64",
        "num_steps": "int64",
        "num_parameters": "int64",
        "peak_memory_bytes": "int64",
        "train_s": "double",
        "wait_s": "double",
        "transfer_s": "double",
        "sync_s": "double",
        "augment_s": "double",
        "compute_s": "double",
        "evaluations_s": "double",
        "stages": "map<string, double>",
        "checkpoint_bytes": "int64",
        "checkpoints_deleted": "bool",
        "attempts": f"list<item: struct<{attempt}>>",
        "machine": f"struct<{machine}>",
        "values.rate": "double",
    }


def test_the_columns_of_a_training_step() -> None:
    times = ("wait_s", "transfer_s", "sync_s", "augment_s", "compute_s")
    assert ("loss", "gradient_norm", "learning_rate", *times) == STEP_COLUMNS
    row = {"step": 3, "split": "step", **dict.fromkeys(STEP_COLUMNS, 0.5)}
    assert measurements_table([row]).to_pylist() == [row]


def test_a_training_lies_flat_in_its_row_and_comes_back(make_trial: Callable[..., TrialRecord]) -> None:
    (row,) = trials_table([make_trial("a", 0, {}, training=TRAINING)]).to_pylist()
    flat = asdict(TRAINING)
    flat |= flat.pop("time_by_part")
    assert {name: row[name] for name in flat} == flat | {"stages": [("read", 0.5)]}
    assert training_of(row) == TRAINING


def test_of_a_trial_without_training_its_columns_are_null(make_trial: Callable[..., TrialRecord]) -> None:
    (row,) = trials_table([make_trial("a", 0, {})]).to_pylist()
    names = {field.name for field in fields(Training)} - {"time_by_part", "stages"} | set(TIME_COLUMNS)
    assert {row[name] for name in names} == {None}
    assert row["stages"] == []
    assert training_of(row) is None


@pytest.mark.parametrize("missing", TIME_COLUMNS)
def test_times_by_part_are_known_all_or_none(make_trial: Callable[..., TrialRecord], missing: str) -> None:
    (row,) = trials_table([make_trial("a", 0, {}, training=TRAINING)]).to_pylist()
    del row[missing]
    found = training_of(row)
    assert found is not None
    assert (found.time_by_part, found.input_s, found.train_s) == (None, 0.0, 12.5)


def test_a_row_of_an_older_version_has_no_peak_memory(make_trial: Callable[..., TrialRecord]) -> None:
    (row,) = trials_table([make_trial("a", 0, {}, training=TRAINING)]).drop_columns(["peak_memory_bytes"]).to_pylist()
    assert training_of(row) == replace(TRAINING, peak_memory_bytes=None)
