"""How fast the training loop is beside a hand-written one, and batch norm beside torch's.

``python -m tests.benchmarks.training`` prints one JSON line. Two workers over gloo, one thread each, train the digits
network in turn with our loop (gradient norms and records of every step on, evaluations of one small batch at both ends)
and with the shortest DistributedDataParallel loop that does the same steps: same model, same data, same batches,
gathered from memory. Ratios are of pairs that ran right after each other.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare, batch_rows
from raytune_playbook.records.columns import MeasurementRow
from raytune_playbook.study.seeds import shared_seed
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.batch_norm import convert_batch_norm
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Values
from raytune_playbook.workloads.digits import DigitsResNet
from tests.ports import free_port

NUM_WORKERS = 2
BATCH_SIZE = 128
NUM_EVALUATED = 16
BATCH_NORM_SHAPES = {"(64, 16, 8, 8)": (64, 16, 8, 8), "(128, 64, 16, 16)": (128, 64, 16, 16)}
VIRTUAL_BATCH_SIZE = 32


class Rows:
    """A watcher that keeps the records."""

    def __init__(self) -> None:
        self.rows: list[MeasurementRow] = []

    def new_measurements(self, rows: list[MeasurementRow]) -> None:
        self.rows += rows

    def stepped(self, step: int) -> None:
        """Nothing to tell."""

    def evaluated(self) -> None:
        """Nothing to tell."""

    def wants_stop(self) -> bool:
        return False


class Batches:
    """A worker's batches, with evaluations of one small batch: evaluations are not compared."""

    def __init__(self, arrays: dict[str, dict[str, np.ndarray]], trial: TrialSpec, group: Group) -> None:
        self._shared = SharedBatches(
            TrialExamples(arrays), trial, BatchShare(BATCH_SIZE, group.rank, group.size), group.device
        )

    def training_batches(self, trial: TrialSpec, *, first_batch: int) -> Iterator[Batch]:
        return self._shared.training_batches(trial, first_batch=first_batch)

    def evaluation_batches(self, split: str) -> Iterable[Batch]:
        batch = next(iter(self._shared.evaluation_batches(split)))
        return [{name: column[:NUM_EVALUATED] for name, column in batch.items()}]

    def transfer_wait_s(self) -> float:
        return self._shared.transfer_wait_s()

    def stage_seconds(self) -> Mapping[str, float]:
        return self._shared.stage_seconds()


def ours(arrays: dict[str, dict[str, np.ndarray]], trial: TrialSpec, group: Group) -> None:
    watcher = Rows()
    train(TrialRun(DigitsResNet(), trial, Batches(arrays, trial, group), group, watcher))
    assert len(watcher.rows) >= trial.max_train_steps


def by_hand(arrays: dict[str, dict[str, np.ndarray]], trial: TrialSpec, group: Group) -> None:
    values = Values(trial.values)
    torch.manual_seed(shared_seed("initialization", trial))
    model = DistributedDataParallel(DigitsResNet().model(values), forward_sync_buffers=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, foreach=True)
    images, labels = arrays["train"]["image"], arrays["train"]["label"]
    batches = batch_rows(trial, len(labels), BatchShare(BATCH_SIZE, group.rank, group.size))
    for _ in range(trial.max_train_steps):
        rows = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(torch.from_numpy(images[rows])), torch.from_numpy(labels[rows]))
        loss.backward()
        optimizer.step()


def worker(rank: int, port: int, num_pairs: int, num_steps: int, queue: mp.SimpleQueue) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=NUM_WORKERS)
    group = Group(rank=rank, size=NUM_WORKERS, process_group=dist.group.WORLD)
    workload = DigitsResNet()
    arrays = {name: dict(columns) for name, columns in workload.datasets().items()}
    trial = TrialSpec(
        study="benchmark",
        index=0,
        seed=0,
        values=dict(workload.hyperparameters()) | {"batch_size": BATCH_SIZE},
        max_train_steps=num_steps,
        evaluation_interval_steps=num_steps,
        divergence_factor=1e9,
        objective=Objective(),
    )
    seconds: dict[str, list[float]] = {"ours": [], "by_hand": []}
    for pair in range(num_pairs + 1):
        order = [("ours", ours), ("by_hand", by_hand)]
        for name, loop in order if pair % 2 else reversed(order):
            dist.barrier()
            started_s = time.perf_counter()
            loop(arrays, trial, group)
            dist.barrier()
            if pair:  # the first pair warms up
                seconds[name].append(time.perf_counter() - started_s)
    if rank == 0:
        queue.put(seconds)
    dist.destroy_process_group()


def speed(num_pairs: int, num_steps: int) -> dict[str, object]:
    """Examples per second of our loop over those of the hand-written one."""
    port = free_port()
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    workers = [
        context.Process(target=worker, args=(rank, port, num_pairs, num_steps, queue)) for rank in range(NUM_WORKERS)
    ]
    for process in workers:
        process.start()
    seconds = queue.get()
    for process in workers:
        process.join()
    ratios = [theirs / own for own, theirs in zip(seconds["ours"], seconds["by_hand"], strict=True)]
    examples = num_steps * BATCH_SIZE
    return {
        "num_pairs": num_pairs,
        "examples_per_s": {name: round(examples / statistics.median(took)) for name, took in seconds.items()},
        "ours_over_by_hand": median_with_interval(ratios),
    }


def batch_norm(num_pairs: int) -> dict[str, object]:
    """Seconds of a forward and backward pass over torch's own: of the digits network, and of one layer by shape."""
    torch.set_num_threads(1)
    found: dict[str, object] = {}
    values = Values(DigitsResNet().hyperparameters())
    theirs: nn.Module = DigitsResNet().model(values)
    x = torch.randn(64, 1, 8, 8)
    for kind in ("device", "ghost"):
        model = DigitsResNet().model(values)
        own = convert_batch_norm(model, statistics=kind, virtual_batch_size=VIRTUAL_BATCH_SIZE)
        pairs = [(seconds_of(own, x), seconds_of(theirs, x)) for _ in range(num_pairs)]
        found[f"{kind} network"] = median_with_interval([ours_s / s for ours_s, s in pairs[num_pairs // 10 :]])
    for name, shape in BATCH_NORM_SHAPES.items():
        theirs = nn.BatchNorm2d(shape[1])
        for kind in ("device", "ghost"):
            module = convert_batch_norm(
                nn.BatchNorm2d(shape[1]), statistics=kind, virtual_batch_size=VIRTUAL_BATCH_SIZE
            )
            x = torch.randn(shape, requires_grad=True)
            pairs = [(seconds_of(module, x), seconds_of(theirs, x)) for _ in range(num_pairs)]
            found[f"{kind} {name}"] = median_with_interval([own / other for own, other in pairs[num_pairs // 10 :]])
    return found


def seconds_of(module: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> float:
    """Of a forward and backward pass; its gradient is dense, as a next layer's is."""
    started_s = time.perf_counter()
    y = module(x)
    y.backward(torch.ones_like(y))
    return time.perf_counter() - started_s


def median_with_interval(values: Iterable[float]) -> list[float]:
    """The median, and its 95% bootstrap interval."""
    sample = np.array(list(values))
    draws = np.median(np.random.default_rng(0).choice(sample, (4000, len(sample))), axis=1)
    return [round(float(number), 4) for number in (np.median(sample), *np.quantile(draws, (0.025, 0.975)))]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-pairs", type=int, default=30)
    parser.add_argument("--num-steps", type=int, default=300)
    options = parser.parse_args()
    result = {"loop": speed(options.num_pairs, options.num_steps), "batch_norm_over_torch": batch_norm(400)}
    print(json.dumps(result))
