"""The measurements of a trial: a stream while it runs, Parquet when it has ended."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raytune_playbook.records import measurements
from raytune_playbook.records.columns import STEP_COLUMNS, measurements_table
from raytune_playbook.records.measurements import RunningMeasurements
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables.measurement_reading import read_stream

STUDY, KEY = "activation=relu", "00003"


def evaluation(step: int) -> list[dict[str, object]]:
    return [
        {"step": step, "split": split, "loss": 1.0 / (step + 1), "error": error}
        for split, error in (("train", 0.5), ("validation", 0.25))
    ]


def steps(first: int, last: int) -> list[dict[str, object]]:
    return [
        {"step": step, "split": "step", "loss": 2.0 / step, "gradient_norm": 3.0, "learning_rate": 0.1, "wait_s": 0.0}
        for step in range(first, last + 1)
    ]


BATCHES = [evaluation(0), steps(1, 10), evaluation(10), steps(11, 13), evaluation(13)]


LATE = [*BATCHES[:3], [{"step": 20, "split": "validation", "loss": 0.1, "score": 4.0}], *BATCHES[3:]]
"""A metric that the first evaluations lack."""


def folder(store: RoundStore) -> Path:
    return Path(store.storage.root) / store.name / STUDY / "measurements"


@pytest.fixture
def written(created) -> tuple[RoundStore, list[int]]:
    """A stream that nobody closed, and its size after each batch."""
    stream = RunningMeasurements(created, STUDY, KEY, 1)
    sizes = []
    for rows in BATCHES:
        stream.append(rows)
        sizes.append(next(folder(created).iterdir()).stat().st_size)
    return created, sizes


def test_a_running_trial_can_be_read_after_every_batch(created):
    stream = RunningMeasurements(created, STUDY, KEY, 1)
    assert created.measurements(STUDY, KEY) is None
    rows: list[dict[str, object]] = []
    for batch in BATCHES:
        stream.append(batch)
        rows += batch
        read = created.measurements(STUDY, KEY)
        expected = measurements_table(rows)
        assert read.select(expected.column_names).equals(expected)
        assert created.measurements(STUDY, KEY).equals(stream.table())
    stream.close()
    assert created.measurements(STUDY, KEY).num_rows == len(rows)


def test_a_running_trial_can_be_read_after_every_batch_wherever_it_is_stored(any_storage, monkeypatch):
    monkeypatch.setattr(measurements, "PUT_SHARE", 1.0)  # whatever it takes
    stream = RunningMeasurements(RoundStore(any_storage(), "round"), STUDY, KEY, 1)
    for num_batches, batch in enumerate(LATE, start=1):
        stream.append(batch)
        seen = RoundStore(any_storage(), "round").measurements(STUDY, KEY)
        assert seen.equals(stream.table())
        assert seen.num_rows == sum(map(len, LATE[:num_batches]))
    stream.seal()
    assert any_storage().files(f"round/{STUDY}/measurements") == [f"{KEY}.parquet"]
    assert RoundStore(any_storage(), "round").measurements(STUDY, KEY).equals(stream.table())


class Slow:
    """A clock, and a storage to which a write takes 2 s of it."""

    def __init__(self, storage: Storage) -> None:
        self.now_s, self._write = 100.0, storage.write
        self.num_writes = 0

    def write(self, path: str, content: bytes) -> None:
        self._write(path, content)
        self.now_s, self.num_writes = self.now_s + 2, self.num_writes + 1


def test_a_slow_object_store_takes_a_tenth_of_the_time_and_has_all_rows_in_the_end(object_store, monkeypatch):
    store = RoundStore(object_store(), "round")
    slow = Slow(store.storage)
    monkeypatch.setattr(store.storage, "write", slow.write)
    monkeypatch.setattr(measurements.time, "monotonic", lambda: slow.now_s)
    stream = RunningMeasurements(store, STUDY, KEY, 1)
    for step in range(1, 101):
        stream.append(steps(step, step))
        slow.now_s += 1
    assert slow.num_writes == 6  # at rows 1, 19, 37, 55, 73 and 91
    assert store.measurements(STUDY, KEY).num_rows == 91
    stream.close()
    stream.close()
    assert slow.num_writes == 7
    assert store.measurements(STUDY, KEY).num_rows == 100


def test_a_stream_cut_off_at_any_byte_is_readable_up_to_its_last_whole_batch(written):
    store, sizes = written
    (path,) = folder(store).iterdir()
    content = path.read_bytes()
    whole = store.measurements(STUDY, KEY)
    assert sizes[-1] == len(content)
    ends = [0]
    for batch in BATCHES:
        ends.append(ends[-1] + len(batch))
    for cut in range(len(content) + 1):
        num_whole = sum(size <= cut for size in sizes)
        table = read_stream(content[:cut])
        if table is None:
            assert num_whole == 0
            assert cut < sizes[0]
        else:
            assert table.equals(whole.slice(0, ends[num_whole])), cut
    path.write_bytes(content[: (sizes[1] + sizes[2]) // 2])
    assert store.measurements(STUDY, KEY).equals(whole.slice(0, ends[2]))


def test_step_columns_are_kept_when_the_first_rows_are_evaluations(written):
    store, _ = written
    table = store.measurements(STUDY, KEY)
    assert set(STEP_COLUMNS) | {"step", "split", "error"} == set(table.column_names)
    rows = table.to_pylist()
    assert [row["gradient_norm"] for row in rows[:3]] == [None, None, 3.0]
    assert [row["error"] for row in rows[:3]] == [0.5, 0.25, None]


def test_not_a_number_is_not_the_same_as_nothing(created):
    stream = RunningMeasurements(created, STUDY, KEY, 1)
    stream.append([{"step": 1, "split": "step", "loss": math.nan}, {"step": 2, "split": "step", "loss": math.inf}])
    losses = created.measurements(STUDY, KEY).column("loss").to_pylist()
    assert math.isnan(losses[0])
    assert losses[1] == math.inf
    assert created.measurements(STUDY, KEY).column("gradient_norm").null_count == 2


def test_sealing_deletes_the_streams_of_every_attempt_of_this_trial_alone(created):
    for key, attempt in [(KEY, 1), (KEY, 2), ("00003.r1", 1), ("00030", 1)]:
        RunningMeasurements(created, STUDY, key, attempt).append(steps(1, attempt))
    stream = RunningMeasurements(created, STUDY, KEY, 3)
    for batch in BATCHES:
        stream.append(batch)
    stream.seal()
    names = sorted(path.name for path in folder(created).iterdir())
    assert names == ["00003.parquet", "_00003.r1.attempt1.arrows", "_00030.attempt1.arrows"]
    assert created.measurements(STUDY, KEY).equals(stream.table())
    assert created.measurements(STUDY, "00003.r1").num_rows == 1


def test_readable_with_pyarrow_alone_while_other_trials_run(created):
    for index in (0, 1):
        stream = RunningMeasurements(created, STUDY, f"{index:05d}", 1)
        for batch in BATCHES:
            stream.append(batch)
        stream.seal()
    RunningMeasurements(created, STUDY, "00002", 1).append(steps(1, 5))
    num_rows = sum(map(len, BATCHES))
    assert pq.read_table(folder(created) / "00001.parquet").num_rows == num_rows
    assert pq.read_table(folder(created)).num_rows == 2 * num_rows
    with pa.ipc.open_stream(folder(created) / "_00002.attempt1.arrows") as running:
        assert running.read_next_batch().num_rows == 5


def test_the_newest_attempt_counts(created):
    for attempt in (1, 2, 10):
        RunningMeasurements(created, STUDY, KEY, attempt).append(steps(1, attempt))
    assert created.measurements(STUDY, KEY).num_rows == 10


def test_a_trial_that_measured_nothing(created):
    stream = RunningMeasurements(created, STUDY, KEY, 1)
    stream.append([])
    assert stream.table().num_rows == 0
    assert created.measurements(STUDY, KEY) is None
    stream.seal()
    assert created.measurements(STUDY, KEY).num_rows == 0


def test_a_late_metric_is_a_column_with_nulls_before_it(created):
    stream = RunningMeasurements(created, STUDY, KEY, 1)
    rows: list[dict[str, object]] = []
    for batch in LATE:
        stream.append(batch)
        rows += batch
        assert created.measurements(STUDY, KEY).equals(stream.table())
        assert created.measurements(STUDY, KEY).num_rows == len(rows)
    with pa.ipc.open_stream(folder(created) / f"_{KEY}.attempt1.arrows") as running:  # by pyarrow alone
        assert running.read_all().equals(stream.table())
    stream.seal()
    table = created.measurements(STUDY, KEY)
    assert table["score"].to_pylist() == [row.get("score") for row in rows]
    assert table["loss"].to_pylist() == [row["loss"] for row in rows]
    assert table["gradient_norm"].to_pylist() == [row.get("gradient_norm") for row in rows]
    assert [path.name for path in folder(created).iterdir()] == [f"{KEY}.parquet"]


def test_a_stream_with_a_late_metric_is_readable_wherever_it_is_cut_off(created):
    stream = RunningMeasurements(created, STUDY, KEY, 1)
    contents = []
    for batch in LATE:
        stream.append(batch)
        contents.append((folder(created) / f"_{KEY}.attempt1.arrows").read_bytes())
    num_rows = [sum(map(len, LATE[: i + 1])) for i in range(len(LATE))]
    assert len(contents[3]) > len(contents[2])
    for content, before, number in zip(contents[3:], contents[2:], num_rows[3:], strict=False):
        assert read_stream(content).num_rows == number
        if content.startswith(before):  # cut off in the batch that was appended last
            for cut in range(len(before), len(content)):
                assert read_stream(content[:cut]).num_rows == number - len(LATE[num_rows.index(number)])
    for cut in range(len(contents[-1])):  # at any byte it is a beginning of all rows, with the late column
        if (table := read_stream(contents[-1][:cut])) is not None:
            assert table.equals(stream.table().slice(0, table.num_rows))


def test_a_late_metric_that_was_never_written_whole_leaves_the_rows_before_it(created, monkeypatch):
    stream = RunningMeasurements(created, STUDY, KEY, 1)
    for batch in LATE[:3]:
        stream.append(batch)
    before = created.measurements(STUDY, KEY)

    def killed(self: Path, target: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(OSError, match="no space left"):
        stream.append(LATE[3])
    assert created.measurements(STUDY, KEY).equals(before)
    assert [path.name for path in folder(created).iterdir()] == [f"_{KEY}.attempt1.arrows"]
