"""Many trials in few files: read as before at any moment, whole after any crash, on any storage."""

from __future__ import annotations

import errno
import itertools
import math
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytune_playbook.errors import StorageError, StorageFailure
from raytune_playbook.records import retries
from raytune_playbook.records.driving.claims import ClaimLostError
from raytune_playbook.records.measurements import RunningMeasurements
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables import compaction, measurement_compaction
from raytune_playbook.records.tables.compaction import Compaction
from raytune_playbook.records.tables.listing import key_order
from raytune_playbook.records.tables.measurement_parts import PartReader, part_keys
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical
from raytune_playbook.study.trial import trial_key

RELU, TANH = "activation=relu", "activation=tanh"


def rows_of(index: int, num_steps: int = 3) -> list[dict[str, float | int | str | None]]:
    """What a trial measured; each third trial has a metric that the others lack."""
    late = {"score": float("nan")} if index % 3 == 2 else {}
    return [
        {"step": step, "split": split, "error": index + step / 100, **late}
        for step in range(num_steps)
        for split in ("validation", "step")
    ]


@pytest.fixture
def write(make_trial) -> Callable[..., None]:
    """Writes trials of a study as a driver does."""

    def written(store: RoundStore, indices, study: str = RELU, outcome: str | None = "completed", **fields) -> None:
        for index in indices:
            repeat = fields.get("repeat", 0)
            stream = RunningMeasurements(store, study, trial_key(index, repeat), fields.get("attempt", 1))
            stream.append(fields.get("rows", rows_of(index)))
            stream.seal() if outcome else stream.close()
            objective = fields.get("objective", index / 10)
            values = fields.get("values", {"rate": 0.1 * index})
            ended = {"outcome": outcome, "objective": objective, "reason": fields.get("reason")}
            store.write_trial(make_trial(study, index, values, repeat, **ended))

    return written


def compact(store: RoundStore, *, is_end: bool = True) -> None:
    studies = store.studies()
    of_round = Compaction(store.storage, store.name, studies)
    for study in studies:
        rows = store.trials(study.name).to_pylist()
        ended = {trial_key(row["index"], row["repeat"]) for row in rows if row["outcome"] is not None}
        of_round.compact(study.name, ended, lambda: None, is_end=is_end)


def everything(store: RoundStore) -> dict[str, object]:
    """All that can be read of a round's trials, by every door."""
    found: dict[str, object] = {"trials": store.trials().to_pylist()}
    for study in store.studies():
        read = store.readable_measurements(study.name, lambda key, table: pa.concat_tables([table]))
        assert read.broken == ()
        keys = sorted(read.found, key=key_order)
        found[study.name] = [(key, read.found[key].schema, repr(read.found[key].to_pylist())) for key in keys]
        alone = {key: store.measurements(study.name, key) for key in keys}
        assert all(
            table.equals(read.found[key]) or table.to_pylist() != table.to_pylist() for key, table in alone.items()
        )
        assert found[study.name] == [(key, table.schema, repr(table.to_pylist())) for key, table in alone.items()]
    return found


def files(store: RoundStore, kind: str, study: str = RELU) -> list[str]:
    return store.storage.files(f"{store.name}/{study}/{kind}")


def keys_with_pyarrow_alone(store: RoundStore, study: str = RELU) -> list[str]:
    folder = Path(store.storage.root) / store.name / study
    rows = pq.read_table(folder / "trials").to_pylist()
    measured = pq.read_table(folder / "measurements", columns=["trial"])["trial"].unique().to_pylist()
    keys = sorted(trial_key(row["index"], row["repeat"]) for row in rows)
    assert set(measured) - {None} <= set(keys)  # a file of one trial does not name it
    return keys


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of four trials."""
    monkeypatch.setattr(measurement_compaction, "PART_TRIALS", 4)
    monkeypatch.setattr(compaction, "EVERY_TRIALS", 4)


def test_compacted_trials_are_read_as_before_from_a_few_files(created, write):
    write(created, range(9))
    write(created, [3, 7], TANH, "failed")
    write(created, [1, 2], repeat=1)
    write(created, [9, 10], outcome=None)
    before = everything(created)
    assert len(files(created, "trials")) == 13
    compact(created)
    assert everything(created) == before
    # One of rows and one for each of the two sets of columns, beside those of the two trials that run.
    assert [len(files(created, kind)) for kind in ("trials", "measurements")] == [3, 4]
    assert keys_with_pyarrow_alone(created) == sorted([*map(trial_key, range(11)), "00001.r1", "00002.r1"])
    compact(created)
    assert everything(created) == before
    assert [len(files(created, kind, TANH)) for kind in ("trials", "measurements")] == [1, 1]


def test_one_trial_of_a_part_is_read_by_its_row_group(created, write):
    write(created, [0, 1, 3, 4])
    compact(created)
    (part,) = (Path(created.storage.root) / created.name / RELU / "measurements").iterdir()
    file = pq.ParquetFile(part)
    assert file.num_row_groups == 4
    expected = created.measurements(RELU, "00003")
    assert file.read_row_group(2).drop_columns("trial").equals(expected)
    assert pq.read_table(part, filters=[("trial", "==", "00003")]).drop_columns("trial").equals(expected)


def test_a_part_that_cannot_be_read_for_a_moment_is_not_broken_and_a_storage_that_is_away_is_told(
    created, write, monkeypatch
):
    write(created, [0, 1])
    compact(created)
    whole = created.measurements(RELU, "00000")
    failures, of_groups, opened = 2, pq.ParquetFile.read_row_groups, pq.ParquetFile.__init__

    def once_more() -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OSError(errno.EIO, "Input/output error")

    def read_row_groups(file: pq.ParquetFile, *arguments: object, **options: object) -> pa.Table:
        once_more()
        return of_groups(file, *arguments, **options)

    def init(file: pq.ParquetFile, *arguments: object, **options: object) -> None:
        once_more()
        opened(file, *arguments, **options)

    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", read_row_groups)
    assert created.measurements(RELU, "00000").equals(whole)
    failures = retries.NUM_TRIES
    with pytest.raises(StorageFailure, match=r"cannot be read \(Input/output error, again and again\)"):
        created.measurements(RELU, "00000")
    (part,) = files(created, "measurements")
    monkeypatch.setattr(pq.ParquetFile, "__init__", init)
    failures = 2
    assert part_keys(created.storage, f"{created.name}/{RELU}/measurements/{part}") == ["00000", "00001"]


def test_trials_that_measured_nothing_are_known_to_have(created, write):
    write(created, [0, 1, 2], rows=[])
    write(created, [3, 4], rows=rows_of(3))
    before = everything(created)
    assert created.measurements(RELU, "00001").num_rows == 0
    compact(created)
    assert everything(created) == before
    assert created.measurements(RELU, "00005") is None


@pytest.mark.parametrize("every", [3, 5, 8])
def test_compaction_while_a_round_runs_is_little_work(created, write, small_parts, every, monkeypatch):
    num_trials = num_bytes = num_bytes_alone = 0
    plain = Storage.write

    def counted(storage: Storage, path: str, content: bytes) -> None:
        nonlocal num_trials, num_bytes, num_bytes_alone
        if "measurements" in path:
            num_trials += len(PartReader(pa.BufferReader(content)).num_rows) if ".part" in path else 0
        elif ".part" in path:
            num_bytes += len(content)
        else:
            num_bytes_alone += len(content)
        plain(storage, path, content)

    monkeypatch.setattr(Storage, "write", counted)
    for index in range(64):
        write(created, [index], reason=random.Random(index).randbytes(9000).hex())  # of which no bytes are saved
        if index % every == every - 1:
            compact(created, is_end=False)
    before = everything(created)
    assert len(files(created, "trials")) <= math.log2(64 / every) + 1 + every
    compact(created)
    assert everything(created) == before
    assert len(files(created, "trials")) == 1
    assert len(files(created, "measurements")) <= 2 * 64 / min(every, 4) + 2  # of each of the two sets of columns
    assert num_trials <= 2 * 64  # once while it ran, and once where that left parts that are not full
    assert num_bytes <= num_bytes_alone * (math.log2(64 / every) + 2)  # a row's part at least doubles each time
    assert keys_with_pyarrow_alone(created) == [trial_key(index) for index in range(64)]


def test_a_trial_that_is_tried_again_counts_once_and_by_its_newest_attempt(created, write, small_parts):
    write(created, range(8))
    write(created, [5], outcome="failed", objective=None)
    compact(created)
    write(created, [5], outcome=None, objective=None, rows=rows_of(5, 1), attempt=2)  # cut off in between
    retried = everything(created)
    assert created.measurements(RELU, "00005").num_rows == 2
    compact(created)
    assert everything(created) == retried
    assert keys_with_pyarrow_alone(created) == [trial_key(index) for index in range(8)]
    measured = pq.read_table(Path(created.uri, RELU, "measurements"), columns=["trial"])["trial"].to_pylist()
    assert "00005" not in measured  # what counts is its stream
    write(created, [5, 8], rows=rows_of(5, 7), objective=0.5, attempt=3)
    done = everything(created)
    assert created.measurements(RELU, "00005").num_rows == 14
    for is_end in (False, True):
        compact(created, is_end=is_end)
        assert everything(created) == done
        assert keys_with_pyarrow_alone(created) == [trial_key(index) for index in range(9)]


@pytest.mark.parametrize("is_end", [True, False])
def test_of_two_parts_with_one_trial_the_newer_counts_until_the_older_is_cleared_up(created, write, is_end):
    write(created, range(4))
    compact(created)
    folders = [Path(created.uri, RELU, kind) for kind in ("trials", "measurements")]
    older = {path: path.read_bytes() for folder in folders for path in folder.glob("*.part*")}
    write(created, range(4), rows=rows_of(0, 9), objective=9.0)
    compact(created)
    now = everything(created)
    assert {row["objective"] for row in now["trials"]} == {9.0}
    for path, content in older.items():  # as where a driver died before it deleted them
        path.write_bytes(content)
    assert everything(created) == now
    write(created, [2, 6], rows=rows_of(0, 11), objective=11.0)
    now = everything(created)
    compact(created, is_end=is_end)
    assert everything(created) == now
    compact(created)
    assert everything(created) == now
    assert not any(path.exists() for path in older)
    assert keys_with_pyarrow_alone(created) == ["00000", "00001", "00002", "00003", "00006"]


class DiedError(Exception):
    """The machine."""


class DyingStorage(Storage):
    """Dies before its n-th write or deletion, counted from 0."""

    def __init__(self, uri: str, num_left: int) -> None:
        super().__init__(uri)
        self.num_left = num_left

    def write(self, path: str, content: bytes) -> None:
        self._live()
        super().write(path, content)

    def delete(self, path: str) -> None:
        self._live()
        super().delete(path)

    def _live(self) -> None:
        self.num_left -= 1
        if self.num_left < 0:
            raise DiedError


@pytest.mark.parametrize("is_end", [True, False])
def test_whole_whenever_a_compaction_is_cut_off(tmp_path, record, studies, write, small_parts, is_end):
    for num_left in itertools.count():
        store = RoundStore(Storage(str(tmp_path / f"{is_end}-{num_left}")), "round")
        store.create(record, studies, notes="", diff="")
        write(store, range(5))
        compact(store)
        write(store, [2], outcome="failed", objective=None)
        write(store, range(5, 10))
        write(store, [10], outcome=None)
        before = everything(store)
        try:
            compact(RoundStore(DyingStorage(store.storage.uri, num_left), "round"), is_end=is_end)
            died = False
        except DiedError:
            died = True
        assert everything(store) == before
        write(store, [2], outcome="completed", objective=7.0, rows=rows_of(2, 9))  # whatever is left of it
        again = everything(store)
        compact(store, is_end=is_end)
        assert everything(store) == again
        compact(store)
        assert everything(store) == again
        assert keys_with_pyarrow_alone(store) == [trial_key(index) for index in range(11)]
        if not died:
            break
    assert num_left > 12


def test_a_reader_misses_and_doubles_nothing_whenever_a_compaction_comes_in_between(tmp_path, record, studies, write):
    """Before the n-th access of a reader to the storage, all is compacted."""
    for num_before in itertools.count():
        store = RoundStore(Storage(str(tmp_path / str(num_before))), "round")
        store.create(record, studies, notes="", diff="")
        write(store, range(6))
        compact(store)
        write(store, range(6, 9))
        before = everything(store)
        reading = Storage(store.storage.uri)
        left = itertools.count(num_before, -1)

        def interrupted(method, left=left, store=store):
            def called(*arguments):
                if next(left) == 0:
                    compact(store)
                return method(*arguments)

            return called

        for name in ("read", "sizes", "opened"):
            setattr(reading, name, interrupted(getattr(reading, name)))
        assert everything(RoundStore(reading, "round")) == before
        if next(left) > 0:
            break
    assert num_before > 30


def test_a_listing_that_misses_what_came_and_went_is_looked_up_again(created, write):
    write(created, range(4))
    before = everything(created)
    reading = Storage(created.storage.uri)
    sizes, torn = reading.sizes, iter([True])

    def listed(folder: str) -> dict[str, int]:
        found = sizes(folder)
        if next(torn, False):  # a part appeared behind the place where the list was, and its singles went before it
            compact(created)
            return {}
        return found

    reading.sizes = listed
    assert RoundStore(reading, "round").trials().to_pylist() == before["trials"]


def test_another_driver_that_has_the_round_by_now_is_not_disturbed(created, write):
    def lost() -> None:
        raise ClaimLostError

    write(created, range(4))
    before, singles = everything(created), files(created, "trials")
    with pytest.raises(ClaimLostError):
        Compaction(created.storage, "round", created.studies()).compact(
            RELU, {trial_key(index) for index in range(4)}, lost, is_end=True
        )
    assert set(singles) <= set(files(created, "trials"))
    assert everything(created) == before


@pytest.mark.parametrize(
    "choices", [[1, 2.5, "auto"], [True, 2], [1, 2.5], [None, "a"], [None, 3, "b"], [True, False, None], ["1", 1]]
)
def test_values_of_mixed_types_are_what_they_are_without_compaction(created, studies, write, small_parts, choices):
    studies = [study.model_copy(update={"space": {"x": Categorical(choices)}}) for study in studies]
    created.extend(created.round().budget, studies)
    for index in range(10):
        write(created, [index], values={"x": choices[index % len(choices)]})
    before = everything(created)
    created_again = RoundStore(Storage(created.storage.uri), "again")
    created_again.create(created.round(), studies, notes="", diff="")
    for index in range(10):
        write(created_again, [index], values={"x": choices[index % len(choices)]})
        compact(created_again, is_end=index % 4 == 3)
    assert everything(created_again) == before


def test_on_any_storage(any_storage, record, studies, write):
    store = RoundStore(any_storage(), "round")
    store.create(record, studies, notes="", diff="")
    write(store, range(4))
    write(store, [4], outcome=None)
    before = everything(store)
    compact(store)
    later = RoundStore(any_storage(), "round")
    assert everything(later) == before
    assert len(files(later, "trials")) == 2
    write(later, [1], rows=rows_of(1, 9), objective=9.0)
    again = everything(later)
    compact(later)
    assert everything(RoundStore(any_storage(), "round")) == again


@pytest.mark.parametrize("kind", ["trials", "measurements"])
@pytest.mark.parametrize("which", ["part", "single"])
@pytest.mark.parametrize("content", [b"", b"PAR1", "half", "other"])
def test_a_broken_file_is_named_and_the_others_are_read(created, write, kind, which, content):
    write(created, [0, 1, 3, 4])
    compact(created)
    write(created, [6, 7])
    folder = Path(created.storage.root) / "round" / RELU / kind
    (path,) = (
        file for file in folder.iterdir() if (".part" in file.name) == (which == "part") and "00007" not in file.name
    )
    whole = path.read_bytes()
    other = pa.BufferOutputStream()
    pq.write_table(pa.table({"other": [1]}), other)
    contents = {"half": whole[: len(whole) // 2], "other": other.getvalue().to_pybytes()}
    path.write_bytes(contents.get(content, content))
    missing = {"part": ["00000", "00001", "00003", "00004"], "single": ["00006"]}[which]
    left = [key for key in map(trial_key, [0, 1, 3, 4, 6, 7]) if key not in missing]
    named = {"part": "trials 00000 to 00004", "single": "trial 00006"}[which]
    if kind == "trials":
        read = created.readable_trials(RELU)
        assert [trial_key(index) for index in read.found["index"].to_pylist()] == left
        with pytest.raises(StorageError, match=rf"{path.name} in .* cannot be read .*, so {named} of study {RELU} "):
            created.trials()
    elif (which, content) != ("single", "other"):  # of measurements any columns are right
        read = created.readable_measurements(RELU, lambda key, table: table.num_rows)
        assert read.found == dict.fromkeys(left, 6)
        with pytest.raises(StorageError, match=f"of trial {RELU}/{missing[0]} .* must be readable"):
            created.measurements(RELU, missing[0])
    else:
        return
    (sentence,) = read.broken
    assert sentence.startswith(f"round/{RELU}/{kind}/{path.name} in ")
    assert f", so {named} of study {RELU} " in sentence
    # Compaction leaves it where it is.
    of_round = Compaction(created.storage, "round", created.studies())
    of_round.compact(RELU, {*left, *missing}, lambda: None, is_end=True)
    assert path.exists()
    again = created.readable_trials(RELU) if kind == "trials" else created.readable_measurements(RELU, lambda *_: 6)
    assert (again.found.num_rows if kind == "trials" else len(again.found)) == len(left)
    assert again.broken == (sentence,)
