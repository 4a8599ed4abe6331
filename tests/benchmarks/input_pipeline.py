"""What the input pipeline costs, against torch's `DataLoader` on the same data; one line of JSON.

``python -m tests.benchmarks.input_pipeline [--pairs N] [--only PART]``

- ``materialized``: rows per second of shuffled batches of 200,000 x 64, over a `DataLoader` with a `BatchSampler` (its
  strong form) and over its default form.
- ``streaming``: rows per second from 64 Parquet files with a decode cost, over a `DataLoader` whose `IterableDataset`
  reads with pyarrow in one process, as ours has one CPU; from the second epoch on. Start-up apart, and the memory that
  is taken over what is stated.
- ``overlap``: time of a step of one thread, with one core for preprocessing, over the larger of preprocessing and
  compute measured beside each other.
- ``first_batch_ms``: of the second and later trials.

Ratios are medians over pairs that alternate, with their quartiles.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.cloudpickle as cloudpickle
import torch
from ray._private.internal_api import node_stats
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, TensorDataset

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.columns import Columns
from raytune_playbook.data.examples import Examples, Preparation, prepare
from raytune_playbook.data.materialized.store import StoreHandle, start_store
from raytune_playbook.data.order import BatchShare
from raytune_playbook.data.streaming.worker_stream import StreamedBatches, StreamerDoor
from raytune_playbook.engine.cluster.ray_internals import LOCAL_CLUSTER
from raytune_playbook.study.datasets import Files, InputPipeline
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec

NUM_ROWS, NUM_COLUMNS, NUM_FILES = 200_000, 64, 64
BATCH_SIZE = 256
MIB = 2**20


def trial(index: int = 0) -> TrialSpec:
    return TrialSpec(
        study="all",
        index=index,
        seed=0,
        values={},
        max_train_steps=1,
        evaluation_interval_steps=1,
        divergence_factor=2.0,
        objective=Objective(),
    )


class Decoding:
    """Preprocessing that takes as long as it is told for each example, on one core and without sleeping."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def preprocess(self, columns: Columns) -> Columns:
        x = np.asarray(columns["x"])
        for _ in range(self._rounds):
            x = np.sin(x)
        return {"x": x, "label": columns["label"]}


def write_files(folder: Path, num_rows: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    size = num_rows // NUM_FILES
    for number in range(NUM_FILES):
        x = rng.normal(size=(size, NUM_COLUMNS)).astype(np.float32)
        labels = pa.array(rng.integers(0, 10, size))
        table = pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(x), "label": labels})
        pq.write_table(table, folder / f"{number:02d}.parquet")


def examples(
    store: StoreHandle, folder: Path, *, decoding: Decoding | None = None, window: int | None = None
) -> Examples:
    """The files as training examples, some of them as validation examples too."""
    pipeline = InputPipeline() if window is None else InputPipeline(mode="streaming", window_examples=window)
    workload = None if decoding is None else cloudpickle.dumps(decoding)
    how = Preparation(store, workload, "label", num_cpus=1, num_gangs=1, node_bytes=2**40, pipeline=pipeline)
    return prepare({"train": Files(str(folder)), "validation": Files(str(folder / "00.parquet"))}, how)


def batches_of(
    given: Examples, index: int, door: StreamerDoor | None = None, batch_size: int = BATCH_SIZE
) -> SharedBatches:
    stream, share = None, BatchShare(batch_size)
    if given.stream is not None and door is not None:
        streamer = door.find(door.open())
        stream = StreamedBatches(given.stream, streamer, f"{index}", trial(index), share)
    return SharedBatches(TrialExamples(given.arrays()), trial(index), share, torch.device("cpu"), stream)


def consumed(batches: Iterator[object], number: int) -> float:
    """Seconds that so many batches take to come."""
    started_s = time.perf_counter()
    for _ in itertools.islice(batches, number):
        pass
    return time.perf_counter() - started_s


def quartiles(values: list[float]) -> list[float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return [round(value, 3) for value in (middle, low, high)]


# ---------------------------------------------------------------------- materialized


def materialized(given: Examples, num_pairs: int) -> dict[str, object]:
    columns = {name: torch.from_numpy(np.array(values)) for name, values in given.arrays()["train"].items()}
    dataset = TensorDataset(*columns.values())
    number = NUM_ROWS // BATCH_SIZE
    strong: list[float] = []
    default: list[float] = []
    rates: list[float] = []

    def ours(index: int) -> float:
        batches = batches_of(given, index).training_batches(trial(index))
        took_s = consumed(batches, number)
        batches.close()
        return took_s

    def theirs_strong() -> float:
        sampler = BatchSampler(RandomSampler(dataset), BATCH_SIZE, drop_last=True)
        return consumed(iter(DataLoader(dataset, sampler=sampler, batch_size=None)), number)

    def theirs_default() -> float:
        loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
        return consumed(iter(loader), number)

    for index in range(num_pairs):
        gc.collect()
        ours_s = ours(index)
        strong.append(theirs_strong() / ours_s)
        rates.append(number * BATCH_SIZE / ours_s)
        if index % 3 == 0:
            default.append(theirs_default() / ours(index))
    first_ms = []
    for index in range(1, 11):
        started_s = time.perf_counter()
        batches = batches_of(given, index).training_batches(trial(index))
        next(batches)
        first_ms.append(1000 * (time.perf_counter() - started_s))
        batches.close()
    return {
        "over_batch_sampler": quartiles(strong),
        "over_default_loader": quartiles(default),
        "rows_per_s": round(statistics.median(rates)),
        "first_batch_ms": round(max(first_ms), 2),
    }


# ---------------------------------------------------------------------- streaming


class PyarrowFiles(IterableDataset[tuple[torch.Tensor, ...]]):
    """What one would write by hand: files in a new order each epoch, shuffled within a window of files."""

    def __init__(self, folder: Path, decoding: Decoding, files_per_window: int) -> None:
        self._paths = sorted(folder.iterdir())
        self._decoding, self._files_per_window = decoding, files_per_window
        self._epoch = 0

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        rng = np.random.default_rng(self._epoch)
        self._epoch += 1
        order = rng.permutation(len(self._paths))
        for start in range(0, len(order), self._files_per_window):
            parts = [self._read(self._paths[number]) for number in order[start : start + self._files_per_window]]
            x, labels = (np.concatenate([part[name] for part in parts]) for name in ("x", "label"))
            rows = rng.permutation(len(x))
            for first in range(0, len(rows) - BATCH_SIZE + 1, BATCH_SIZE):
                chosen = rows[first : first + BATCH_SIZE]
                yield torch.from_numpy(x[chosen]), torch.from_numpy(labels[chosen])

    def _read(self, path: Path) -> Columns:
        table = pq.read_table(path, use_threads=False)
        x = table.column("x").combine_chunks().to_numpy_ndarray()
        return self._decoding.preprocess({"x": x, "label": table.column("label").to_numpy()})


def streaming(store: StoreHandle, folder: Path, num_pairs: int) -> dict[str, object]:
    decoding, files_per_window = Decoding(rounds=20), 8
    window = files_per_window * NUM_ROWS // NUM_FILES
    given = examples(store, folder, decoding=decoding, window=window)
    door = StreamerDoor()
    started_s = time.perf_counter()
    data = batches_of(given, 0, door)
    ours = data.training_batches(trial())
    next(ours)
    start_s = time.perf_counter() - started_s
    loader = DataLoader(
        PyarrowFiles(folder, decoding, files_per_window), batch_size=None, num_workers=1, persistent_workers=True
    )
    epoch = NUM_ROWS // BATCH_SIZE
    epochs = itertools.chain.from_iterable(iter(loader) for _ in itertools.count())
    consumed(ours, epoch)
    consumed(epochs, epoch)
    ratios, rates = [], []
    for _ in range(num_pairs):
        ours_s = _after_a_pause(ours, 2 * epoch)
        ratios.append(_after_a_pause(epochs, 2 * epoch) / ours_s)
        rates.append(2 * epoch * BATCH_SIZE / ours_s)
    ours.close()
    return {
        "over_iterable_dataset": quartiles(ratios),
        "rows_per_s": round(statistics.median(rates)),
        "first_batch_s": round(start_s, 2),
        "seconds_by_stage": {stage: round(seconds, 2) for stage, seconds in data.stage_seconds().items()},
    }


def _after_a_pause(batches: Iterator[object], number: int) -> float:
    """Seconds that so many batches take; neither pipeline works while the other is measured, for what it has made ahead
    (of ours half an epoch) fills its room, so that much is used up first."""
    consumed(batches, number // 4)
    return consumed(batches, number)


def memory(store: StoreHandle, folder: Path, num_rows: int) -> dict[str, object]:
    """The most that streaming takes, over what it states, on a data set four times as large."""
    given = examples(store, folder, window=num_rows // 32)
    if given.stream is None:
        raise RuntimeError("not streamed")
    total = num_rows * (NUM_COLUMNS * 4 + 8)
    bound = given.stream.memory_bytes
    arrays = batches_of(given, 0, StreamerDoor())
    gc.collect()
    time.sleep(3)  # Ray lets go of what it read before
    before = _own_bytes() + _stored()
    batches = arrays.training_batches(trial())
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], _own_bytes() - before + _stored())

    watching = threading.Thread(target=watch)
    watching.start()
    consumed(batches, 2 * num_rows // BATCH_SIZE)
    done.set()
    watching.join()
    batches.close()
    return {
        "data_over_bound": round(total / bound, 2),
        "bound_mib": round(bound / MIB),
        "peak_over_bound": round(peak[0] / bound, 2),
    }


def _own_bytes() -> int:
    """Memory of this process that it shares with no other, such as the object store."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024


def _stored() -> int:
    (node,) = ray.nodes()
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
    return int(stats.store_stats.object_store_bytes_used)


# ---------------------------------------------------------------------- overlap


def overlap(store: StoreHandle, folder: Path, num_pairs: int) -> dict[str, object]:
    """A step that computes about as long as its batch takes to preprocess, on one thread beside one task."""
    decoding, size = Decoding(rounds=600), 1024
    given = examples(store, folder, decoding=decoding, window=4 * size)
    data = batches_of(given, 0, StreamerDoor(), batch_size=size)
    batches = data.training_batches(trial())
    sample = {name: np.array(values[:size]) for name, values in given.arrays()["validation"].items()}
    matrix = torch.randn(256, 256)

    def preprocess() -> None:
        decoding.preprocess(sample)

    def compute(number: int) -> None:
        for _ in range(number):
            torch.mm(matrix, matrix)

    repeats = round(_seconds(preprocess, 20) / _seconds(lambda: compute(100), 5) * 100)
    ratios, free = [], []
    for _ in range(num_pairs):
        costs = _beside_each_other(preprocess, lambda: compute(repeats), 30)
        for number in (24, 60):  # at first what was made ahead is used up, up to five windows and a half
            started_s = time.perf_counter()
            for _ in range(number):
                next(batches)
                compute(repeats)
            step_s = (time.perf_counter() - started_s) / number
        ratios.append(step_s / max(costs))
        free.append(max(costs) / sum(costs))
    batches.close()
    return {"step_over_larger": quartiles(ratios), "larger_over_sum": quartiles(free)}


def _seconds(work: Callable[[], None], number: int) -> float:
    work()
    started_s = time.perf_counter()
    for _ in range(number):
        work()
    return (time.perf_counter() - started_s) / number


def _beside_each_other(preprocess: Callable[[], None], compute: Callable[[], None], number: int) -> tuple[float, float]:
    """What each costs while a process does the other."""
    preprocessing = ray.remote(num_cpus=1)(_seconds).remote(preprocess, number)
    compute_s = _seconds(compute, number)
    preprocess_s: float = ray.get(preprocessing)
    return preprocess_s, compute_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--only", choices=["materialized", "streaming", "memory", "overlap"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder, large = Path(name) / "files", Path(name) / "large"
        write_files(folder, NUM_ROWS)
        write_files(large, 8 * NUM_ROWS)
        ray.init(
            address="local", num_cpus=2, log_to_driver=False, include_dashboard=False, _system_config=LOCAL_CLUSTER
        )
        try:
            store = start_store()
            parts: dict[str, Callable[[], dict[str, object]]] = {
                "materialized": lambda: materialized(examples(store, folder), options.pairs),
                "streaming": lambda: streaming(store, folder, options.pairs),
                "memory": lambda: memory(store, large, 8 * NUM_ROWS),
                "overlap": lambda: overlap(store, folder, options.pairs),
            }
            found = {name: part() for name, part in parts.items() if options.only in (None, name)}
        finally:
            ray.shutdown()
    print(json.dumps({"benchmark": "input_pipeline", "pairs": options.pairs} | found))


if __name__ == "__main__":
    main()
