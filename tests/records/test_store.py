"""A round's records: written and read again, and readable with pyarrow alone."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raytune_playbook.errors import StorageError
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Attempt, Machine, RoundStatus, Training
from raytune_playbook.study.study import StudySpec

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


def test_tr1_the_registry_says_of_each_study_where_it_is_and_what_came_of_it(created, record, studies, make_trial):
    for study, index, outcome, objective in [
        (RELU, 0, "completed", 0.3),
        (RELU, 1, "completed", 0.1),
        (RELU, 2, "infeasible", None),
        (TANH, 0, "completed", 0.2),
    ]:
        created.write_trial(make_trial(study, index, {"rate": 0.5}, outcome=outcome, objective=objective))
    registry = RoundStore(Storage(created.storage.uri), "round")  # of whoever opens it later
    said = {}
    for study in registry.studies():
        configuration = json.loads(Path(registry.uri, study.name, "study.json").read_text())
        assert StudySpec(**configuration) in studies
        trials = registry.trials(study.name)
        said[study.name] = (trials.num_rows, pc.min(trials["objective"]).as_py())
    assert said == {RELU: (3, 0.1), TANH: (1, 0.2)}
    assert registry.notes() == "A note."
    assert registry.round().command == record.command
    assert registry.round().uncommitted
    assert registry.storage.read("round/uncommitted.diff") == b"+ a line"


def test_json_records_need_no_package_to_be_read(created, record):
    content = json.loads((folder(created) / "round.json").read_text())
    assert content["goal"] == "Does it matter?"
    assert content["command"] == record.command


def test_without_a_difference_no_file_of_it(store, record, studies):
    store.create(record, studies, notes="", diff="")
    assert sorted(path.name for path in folder(store).iterdir()) == sorted([*record.studies, "notes.md", "round.json"])


class FailingStorage(Storage):
    """One whose machine dies at its n-th write, counted from 0; each write before it is done."""

    def __init__(self, uri: str, num_writes: int) -> None:
        super().__init__(uri)
        self.num_left = num_writes

    def write(self, path: str, content: bytes) -> None:
        if self.num_left == 0:
            raise OSError("died")
        self.num_left -= 1
        super().write(path, content)


def test_a_round_that_exists_is_whole_whenever_its_creation_is_cut_off(tmp_path, record, studies):
    whole = len([*studies, "uncommitted.diff", "notes.md", "round.json"])
    for num_writes in range(whole + 1):
        uri = str(tmp_path / str(num_writes))
        storage = FailingStorage(uri, num_writes)
        with pytest.raises(OSError, match="died") if num_writes < whole else nullcontext():
            RoundStore(storage, "round").create(record, studies, notes="A note.", diff="+ a line")
        later = RoundStore(Storage(uri), "round")
        assert later.exists() == (num_writes == whole)
        if not later.exists():  # what is there is in nobody's way
            later.create(record, studies, notes="A note.", diff="+ a line")
        assert (later.round(), later.studies(), later.notes()) == (record, studies, "A note.")
        assert later.storage.read("round/uncommitted.diff") == b"+ a line"


def test_qr4_a_round_stays_readable_whenever_its_extension_is_cut_off(tmp_path, record, studies):
    budget = record.budget.model_copy(update={"num_trials": 20})
    more = [study.model_copy(update={"num_trials": 10}) for study in studies]
    for num_writes in range(len(studies) + 2):
        uri = str(tmp_path / str(num_writes))
        RoundStore(Storage(uri), "round").create(record, studies, notes="A note.", diff="")
        with pytest.raises(OSError, match="died") if num_writes <= len(studies) else nullcontext():
            RoundStore(FailingStorage(uri, num_writes), "round").extend(budget, more)
        later = RoundStore(Storage(uri), "round")
        # The round is extended once all of its studies are: until then it asks for no more trials than it did.
        if later.round().budget == budget:
            assert later.studies() == more
        else:
            assert later.round() == record
        later.extend(budget, more)
        assert (later.round(), later.studies()) == (record.model_copy(update={"budget": budget}), more)


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


def test_a_round_that_is_not_there_is_told_apart_from_those_of_procedures(created):
    storage, content = created.storage, json.loads(created.storage.read("round/round.json"))

    def sentence(name: str) -> str:
        with pytest.raises(StorageError) as refused:
            RoundStore(storage, name).round()
        return str(refused.value).partition("but ")[2].replace(repr(storage.uri), "URI")

    part = {"procedure": "stability", "round": "wine", "command": "raytune-playbook stability wine", "job": "my job.py"}
    for number in range(30):
        name = f"wine-stability-sweep-{number}"
        storage.write(f"{name}/round.json", json.dumps(content | {"name": name, "part_of": part}).encode())
    where = f"--storage {storage.uri}"
    assert sentence("raund") == "URI holds round; did you mean 'round'?"
    assert sentence("wine-stability-sweep-77").endswith("URI holds round; did you mean 'wine-stability-sweep-7'?")
    assert sentence("zzz") == "URI holds round; name one of them, or another --storage."
    assert sentence("wine") == (
        f"it was not run, only its stability was; run its job first: raytune-playbook run 'my job.py' {where}"
    )
    for number in range(9):
        storage.write(f"a{number}/round.json", b"{" if number == 3 else json.dumps(content).encode())
    assert sentence("zzz").startswith(
        f"URI holds a0, a1, a2, a3, a4, a5, a6, a7, ... and 2 more (raytune-playbook rounds {where}); name one"
    )


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
