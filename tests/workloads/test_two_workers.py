"""The bundled workloads on two workers against one process (rules BN1, BN2, UN2; DESIGN decision 4).

Run as a script this file is one of the two workers.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Workload
from raytune_playbook.workloads.digits import DigitsResNet
from raytune_playbook.workloads.tabular import BreastCancer, Diabetes
from raytune_playbook.workloads.text import StandardLibraryText

WORKLOADS: dict[str, tuple[Workload, dict[str, Value]]] = {
    "digits": (DigitsResNet(), {"width": 8, "batch_size": 32, "virtual_batch_size": 8}),
    "cancer": (BreastCancer(), {"virtual_batch_size": 8}),
    "diabetes": (Diabetes(), {"virtual_batch_size": 8}),
    "text": (StandardLibraryText(window=16), {"width": 16, "context": 16}),
}
CASES = [(name, kind) for name in ("digits", "cancer", "diabetes") for kind in ("sync", "device", "ghost")]
CASES.append(("text", "sync"))  # which has no batch norm
NUM_EXAMPLES = 64


class Notes:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def new_measurements(self, rows: list[dict[str, Any]]) -> None:
        self.rows += rows

    def stepped(self, step: int) -> None:
        pass

    def evaluated(self) -> None:
        pass

    def wants_stop(self) -> bool:
        return False


def trained(group: Group) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What each workload measures over a few steps, with each kind of batch norm that its model has."""
    torch.set_num_threads(1)
    datasets = {
        name: {
            split: {column: values[:NUM_EXAMPLES] for column, values in columns.items()}
            for split, columns in workload.datasets().items()
        }
        for name, (workload, _) in WORKLOADS.items()
    }
    return {(name, kind): measured(name, kind, datasets[name], group) for name, kind in CASES}


def measured(name: str, kind: str, datasets: Any, group: Group) -> list[dict[str, Any]]:
    workload, changed = WORKLOADS[name]
    trial = TrialSpec(
        study="all",
        index=0,
        seed=0,
        values=workload.hyperparameters() | changed | {"batch_norm": kind},
        max_train_steps=6,
        evaluation_interval_steps=3,
        divergence_factor=2.0,
        objective=Objective(),
    )
    data = SharedBatches(
        TrialExamples(datasets),
        trial,
        BatchShare(int(trial.values["batch_size"]), group.rank, group.size),
        group.device,
    )
    notes = Notes()
    assert train(TrialRun(workload, trial, data, group, notes)).outcome == "completed"
    return [{key: value for key, value in row.items() if key not in TIME_COLUMNS} for row in notes.rows]


def worker(rank: int, port: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save(trained(Group(rank, 2, process_group=dist.group.WORLD)), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[tuple[str, str], list[dict[str, Any]]]]]:
    """What each of two workers measured."""
    folder = tmp_path_factory.mktemp("workers")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = []
    for rank in (0, 1):
        with (folder / f"{rank}.log").open("w") as log:
            command = [sys.executable, __file__, str(rank), str(port), str(folder)]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
    try:
        for rank, process in enumerate(started):
            assert process.wait(timeout=280) == 0, (folder / f"{rank}.log").read_text()
    finally:
        for process in started:
            process.kill()
            process.wait()
    yield [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_both_workers_measure_the_same_and_their_loss_falls(found, case):
    one, other = (each[case] for each in found)
    assert one == other
    losses = [row["loss"] for row in one if row["split"] == "train"]
    assert losses[-1] < losses[0]


def test_two_workers_with_the_statistics_of_the_global_batch_measure_what_one_process_does(found):
    alone = trained(Group())
    for case in CASES:
        name, kind = case
        if kind != "sync":
            continue
        for row, expected in zip(found[0][case], alone[case], strict=True):
            assert row.keys() == expected.keys()
            assert (row["step"], row["split"]) == (expected["step"], expected["split"])
            assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4), (name, row["step"])


if __name__ == "__main__":
    worker(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
