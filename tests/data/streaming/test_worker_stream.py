"""Streaming on a real cluster: every example once per epoch, the same global batches for any number of workers."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.cloudpickle as cloudpickle

from raytune_playbook.data import ray_data as reading
from raytune_playbook.data.columns import Columns
from raytune_playbook.data.decode import Recipe
from raytune_playbook.data.files.formats import list_fragments
from raytune_playbook.data.order import BatchShare
from raytune_playbook.data.ray_data import require_cpu
from raytune_playbook.data.streaming.read_ahead import Stream
from raytune_playbook.data.streaming.windows import fragment_order, window_order
from raytune_playbook.data.streaming.worker_stream import StreamedBatches, StreamerDoor
from raytune_playbook.errors import DataError, PlaybookError, RunError
from raytune_playbook.study.datasets import Files
from raytune_playbook.study.trial import TrialSpec
from tests.data.trials import trial

SIZES = (31, 7, 50, 12, 1, 29)
"""Examples of each file; 130 in all."""

TRIAL = trial()


class Doubled:
    """Preprocesses as a workload does."""

    def preprocess(self, columns: Columns) -> Columns:
        return {"row": columns["row"], "doubled": 2 * columns["x"]}


class Wrong:
    def __init__(self, how: str) -> None:
        self._how = how

    def preprocess(self, columns: Columns) -> Columns:
        if 100 not in columns["row"]:
            return dict(columns)
        if self._how == "raises":
            raise ValueError("a bad pixel")
        if self._how == "drops":
            return {name: values[1:] for name, values in columns.items()}
        return {"row": columns["row"], "x": columns["x"][1:]}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    row = 0
    for number, size in enumerate(SIZES):
        rows = np.arange(row, row + size)
        x = np.stack([rows, -rows], axis=1).astype(np.float32)
        table = pa.table({"row": rows, "x": pa.FixedShapeTensorArray.from_numpy_ndarray(x), "unused": rows})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=10)
        row += size
    return folder


@pytest.fixture(scope="module")
def door(cluster) -> Iterator[StreamerDoor]:
    yield (door := StreamerDoor())
    ray.kill(door.find(door.open()))


def stream_of(folder: Path, window_examples: int = 40, **recipe: object) -> Stream:
    listing = list_fragments(Files(str(folder), columns=("row", "x")))
    return Stream(listing.fragments, Recipe(keeps_number=True, **recipe), window_examples, window_bytes=2**20)


ATTEMPTS = itertools.count()


def batches(
    door: StreamerDoor,
    stream: Stream,
    number: int,
    batch_size: int = 12,
    num_workers: int = 1,
    first_batch: int = 0,
    of: TrialSpec = TRIAL,
) -> list[Columns]:
    """Global batches, put together from those of all workers, which ask at the same time."""
    attempt, streamer = f"attempt {next(ATTEMPTS)}", door.find(door.open())

    def of_rank(rank: int) -> list[Columns]:
        data = StreamedBatches(stream, streamer, attempt, of, BatchShare(batch_size, rank, num_workers))
        run = data.begin(first_batch=first_batch)
        try:
            return list(itertools.islice(run.batches(), number))
        finally:
            run.leave()

    with ThreadPoolExecutor(num_workers) as threads:
        parts = list(threads.map(of_rank, range(num_workers)))
    return [
        {name: np.concatenate([part[k][name] for part in parts]) for name in parts[0][k]} for k in range(len(parts[0]))
    ]


def rows_of(found: list[Columns]) -> npt.NDArray[np.int64]:
    return np.concatenate([batch["row"] for batch in found])


@pytest.mark.parametrize("window_examples", [1, 7, 40, 130])
def test_mh3_every_example_comes_once_per_epoch_in_the_stated_order(door, files, window_examples):
    stream, epochs = stream_of(files, window_examples), 2
    found = rows_of(batches(door, stream, -(-epochs * 130 // 12)))
    sizes = [fragment.num_examples or 0 for fragment in stream.fragments]
    starts = np.cumsum([0, *sizes[:-1]])
    for epoch in range(epochs):
        seen = found[epoch * 130 : (epoch + 1) * 130]
        assert sorted(seen.tolist()) == list(range(130))
        order = fragment_order(TRIAL, epoch, len(sizes))
        laid = np.concatenate([np.arange(starts[fragment], starts[fragment] + sizes[fragment]) for fragment in order])
        for window, start in enumerate(range(0, 130, window_examples)):
            part = laid[start : start + window_examples]
            place = stream.layout.place(epoch * 130 + start)
            assert place.window == window
            assert (
                seen[start : start + window_examples].tolist() == part[window_order(TRIAL, place, len(part))].tolist()
            )


@pytest.mark.parametrize("first_batch", [0, 3, 10, 14])
def test_mh3_any_number_of_workers_sees_the_same_batches_from_any_start(door, files, first_batch):
    stream = stream_of(files)
    whole = batches(door, stream, 18)
    for num_workers in (1, 2, 3):
        again = batches(door, stream, 18 - first_batch, num_workers=num_workers, first_batch=first_batch)
        for one, other in zip(whole[first_batch:], again, strict=True):
            assert one.keys() == other.keys() == {"row", "x"}
            assert all(np.array_equal(one[name], other[name]) for name in one)
            assert np.array_equal(one["x"], np.stack([one["row"], -one["row"]], axis=1))


def test_mh2_trials_have_orders_of_their_own(door, files):
    stream = stream_of(files)
    found = [rows_of(batches(door, stream, 2, of=each)).tolist() for each in (TRIAL, trial(index=1), trial(repeat=1))]
    assert len({tuple(rows) for rows in found}) == 3


def test_two_runs_of_one_attempt_go_on_beside_each_other(door, files):
    """As where a weight average is given batch norm statistics of its own in the middle of the training."""
    stream = stream_of(files, 20)
    data = StreamedBatches(stream, door.find(door.open()), "two", TRIAL, BatchShare(12))
    runs = [data.begin(first_batch=0) for _ in range(2)]
    training, others = (run.batches() for run in runs)
    first = [next(training) for _ in range(5)]
    assert [each["row"].tolist() for each in itertools.islice(others, 5)] == [each["row"].tolist() for each in first]
    runs[1].leave()
    assert len(rows_of([*first, *itertools.islice(training, 6)])) == 132
    runs[0].leave()


def test_pi2_preprocessing_happens_in_the_tasks(door, files):
    stream = stream_of(files, workload=cloudpickle.dumps(Doubled()))
    data = StreamedBatches(stream, door.find(door.open()), "doubled", TRIAL, BatchShare(13))
    run = data.begin(first_batch=0)
    for batch in itertools.islice(run.batches(), 20):
        assert np.array_equal(batch["doubled"], 2 * np.stack([batch["row"], -batch["row"]], axis=1))
    seconds = data.stage_seconds()
    assert {"read", "decode", "shuffle"} <= seconds.keys()
    assert all(amount > 0 for amount in seconds.values())
    run.leave()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", r"raises ValueError: a bad pixel on row group 0 of .*4.parquet; correct"),
        ("drops", r"must keep its number of examples, but Workload.preprocess on row group 0 of .*4.parquet gives"),
        ("ragged", r"must have one length, but Workload.preprocess on row group 0 of .*4.parquet gives"),
    ],
)
def test_what_preprocessing_does_wrong_names_the_place(door, files, how, words):
    stream = stream_of(files, workload=cloudpickle.dumps(Wrong(how)))
    with pytest.raises(PlaybookError, match=words) as caught:
        batches(door, stream, 12)
    assert "\n" not in str(caught.value)
    assert len(batches(door, stream_of(files), 12)) == 12  # the actor serves the next trial


@pytest.mark.parametrize("harm", ["gone", "cut short", "overwritten"])
def test_files_that_change_under_a_run_are_named(door, files, tmp_path, harm):
    for each in files.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    stream, harmed = stream_of(tmp_path), tmp_path / "2.parquet"
    content = harmed.read_bytes()
    if harm == "gone":
        harmed.unlink()
    elif harm == "cut short":
        harmed.write_bytes(content[: len(content) // 2])
    else:
        harmed.write_bytes(content[:4] + bytes(500) + content[504:])
    with pytest.raises(DataError, match=r"row group \d of .*2.parquet is not") as caught:
        batches(door, stream, 12)
    assert "\n" not in str(caught.value)


def test_a_pipeline_without_a_cpu_ends_with_a_sentence(cluster):
    total = int(ray.cluster_resources()["CPU"])
    holders = [ray.remote(num_cpus=1)(Holder).remote() for _ in range(total)]
    try:
        deadline_s = time.monotonic() + 120
        while ray.available_resources().get("CPU", 0.0) >= 1:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        with pytest.raises(RunError, match=r"needs 1 whole CPU.* but none was free for 2 s \(.* of the cluster's"):
            require_cpu(1, timeout_s=2)
    finally:
        for holder in holders:
            ray.kill(holder)
    require_cpu(1, timeout_s=60)
    assert reading.NO_CPU_S <= 30


class Holder:
    """Keeps a CPU."""
