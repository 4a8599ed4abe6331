"""A round's records: written and read again, and readable with pyarrow alone."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytune_playbook.errors import StorageError
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.store import RoundStore, Storage
from raytune_playbook.records.types import Attempt, Machine, RoundStatus, Training

RELU, TANH = "activation=relu", "activation=tanh"


def folder(store: RoundStore) -> Path:
    return Path(store.storage.root) / store.name


def test_a_round_is_read_as_it_was_created(created, record, studies):
    assert created.exists()
    assert created.round() == record
    assert created.studies() == studies
    assert [study.fingerprint for study in created.studies()] == [study.fingerprint for study in studies]
    assert created.notes() == "A note."
    assert (folder(created) / "uncommitted.diff").read_text() == "+ a line"
    assert created.status() is None
    assert created.uri == f"{created.storage.uri}/round"
    created.write_notes("Another.")
    assert created.notes() == "Another."


def test_tr1_json_records_need_no_package_to_be_read(created, record):
    content = json.loads((folder(created) / "round.json").read_text())
    assert content["goal"] == "Does it matter?"
    assert content["command"] == record.command
    assert json.loads((folder(created) / RELU / "study.json").read_text())["arm"] == {"activation": "relu"}


def test_without_a_difference_no_file_of_it(store, record, studies):
    store.create(record, studies, notes="", diff="")
    assert sorted(path.name for path in folder(store).iterdir()) == sorted([*record.studies, "notes.md", "round.json"])


def test_round_json_is_written_last(store, record, studies):
    """So a round that was cut off while it was created does not exist."""
    broken = [studies[0], None]
    with pytest.raises(AttributeError):
        store.create(record, broken, notes="", diff="")
    assert not store.exists()


def test_status_is_rewritten(created):
    for num_done in (0, 3):
        status = RoundStatus(state="running", driver="host:1", seen_at_s=1.5, num_done=num_done, num_trials=8)
        created.write_status(status)
        assert created.status() == status


def test_a_round_that_is_not_there_is_one_sentence(created):
    with pytest.raises(StorageError, match=r"Round 'other' must be in the storage, but .* holds round; name one"):
        RoundStore(created.storage, "other").round()
    with pytest.raises(StorageError, match="holds none"):
        RoundStore(Storage(created.storage.uri + "/nowhere"), "other").round()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b'{"name": "round"}', b"\xff\xfe"])
def test_broken_records_are_one_sentence(created, content):
    for path, read in [
        (f"{TANH}/study.json", created.studies),
        ("status.json", created.status),
        ("round.json", created.round),
    ]:
        created.storage.write(f"round/{path}", content)
        with pytest.raises(StorageError, match=rf"round/{path} in .* must hold a .*restore it") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_a_trial_is_one_row_that_is_rewritten(created, make_trial):
    first = Attempt(1, "gang-1", "2026-01-02T03:04:05.000+00:00")
    created.write_trial(make_trial(RELU, 3, {"rate": 0.5}, attempts=(first,)))
    (row,) = created.trials().to_pylist()
    assert (row["outcome"], row["objective"], row["attempts"][0]["ended"]) == (None, None, None)
    ended = Attempt(1, "gang-1", first.started_at, ended="exception", traceback="Traceback\nValueError: x")
    second = Attempt(2, "gang-2", first.started_at, ended="completed")
    machine = Machine("2.13", "AVX2", "cpu", 2, 1, ("a", "b"))
    fields = {"outcome": "completed", "objective": 0.125, "best_step": 90}
    came_to = {"num_steps": 100, "num_parameters": 7, "train_s": 1.5}
    whole = {"attempts": (ended, second), "machine": machine, "training": Training(**came_to), **fields}
    created.write_trial(make_trial(RELU, 3, {"rate": 0.5}, **whole))
    (row,) = created.trials().to_pylist()
    assert (fields | came_to).items() <= row.items()
    assert (row["study"], row["index"], row["repeat"], row["values.rate"]) == (RELU, 3, 0, 0.5)
    assert [attempt["traceback"] for attempt in row["attempts"]] == [ended.traceback, None]
    assert row["machine"]["hosts"] == ["a", "b"]
    assert (folder(created) / RELU / "trials" / "00003.parquet").exists()


def test_trials_come_by_study_and_index(created, make_trial):
    for study, index, repeat in [(TANH, 0, 0), (RELU, 11, 0), (RELU, 2, 1), (RELU, 2, 0)]:
        created.write_trial(make_trial(study, index, {"rate": 0.5}, repeat))
    rows = created.trials().to_pylist()
    assert [(row["study"], row["index"], row["repeat"]) for row in rows] == [
        (RELU, 2, 0),
        (RELU, 2, 1),
        (RELU, 11, 0),
        (TANH, 0, 0),
    ]
    assert created.trials(TANH).num_rows == 1


def test_a_round_without_trials_has_an_empty_table_of_the_same_columns(created, make_trial):
    empty = created.trials()
    assert empty.num_rows == 0
    created.write_trial(make_trial(RELU, 0))
    assert created.trials().schema.equals(empty.schema)


MIXED = [
    # The values of one hyperparameter over the trials, and what a table holds of them.
    ([None, "cosine", 3], [None, "cosine", "3"], pa.string()),
    ([True, "yes", 0.5, None], ["True", "yes", "0.5", None], pa.string()),
    ([True, 2], ["True", "2"], pa.string()),
    ([1, 2.5, None], [1.0, 2.5, None], pa.float64()),
    ([None, 7, 2**53 + 1], [None, 7, 2**53 + 1], pa.int64()),
    ([None, True, False], [None, True, False], pa.bool_()),
    ([3.0, "3"], ["3.0", "3"], pa.string()),
    ([1e-8, "none"], ["1e-08", "none"], pa.string()),
    ([None, None], [None, None], pa.null()),
]


@pytest.mark.parametrize(("values", "expected", "kind"), MIXED)
@pytest.mark.parametrize("studies_of", [lambda i: RELU, lambda i: (RELU, TANH)[i % 2]], ids=["within", "across"])
def test_values_of_mixed_types_within_and_across_studies(created, make_trial, values, expected, kind, studies_of):
    records = [make_trial(studies_of(i), i, {"x": value}) for i, value in enumerate(values)]
    for trial in records:
        created.write_trial(trial)
    # One door or the other: the same table.
    for table in (created.trials(), trials_table(records)):
        table = table.sort_by("index")
        assert table.column("values.x").to_pylist() == expected
        assert table.schema.field("values.x").type == kind


def test_sd5_a_hyperparameter_that_a_study_lacks_is_null_there(created, make_trial):
    created.write_trial(make_trial(RELU, 0, {"adam.beta1": 0.9, "depth": 2}))
    created.write_trial(make_trial(TANH, 0, {"depth": 2, "kind": "x"}))
    rows = created.trials().to_pylist()
    assert [row["values.adam.beta1"] for row in rows] == [0.9, None]
    assert [row["values.kind"] for row in rows] == [None, "x"]


def test_readable_with_pyarrow_alone(created, make_trial):
    for i in range(3):
        fields = {"outcome": "completed", "objective": i / 10}
        created.write_trial(make_trial(RELU, i, {"rate": 0.1 * i, "kind": "x"}, **fields))
    # What a crash in the middle of a write leaves behind does not get in the way.
    trials = folder(created) / RELU / "trials"
    name = next(path.name for path in trials.iterdir())
    (trials / f".{name}.0123.tmp").write_bytes(b"PAR1 cut o")
    table = pq.read_table(trials)
    assert sorted(table.column("objective").to_pylist()) == [0.0, 0.1, 0.2]
    assert set(table.column("study").to_pylist()) == {RELU}
    assert created.trials().num_rows == 3
