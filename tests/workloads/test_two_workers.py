"""The bundled workloads on two workers against one process (rules BN1, BN2, UN2; DESIGN decision 4)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare
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
from tests.workers import Notes, Workers

WORKLOADS: dict[str, tuple[Workload, dict[str, Value]]] = {
    "digits": (DigitsResNet(), {"width": 8, "batch_size": 32, "virtual_batch_size": 8}),
    "cancer": (BreastCancer(), {"virtual_batch_size": 8}),
    "diabetes": (Diabetes(), {"virtual_batch_size": 8}),
    "text": (StandardLibraryText(window=16), {"width": 16, "context": 16}),
}
CASES = [(name, kind) for name in ("digits", "cancer", "diabetes") for kind in ("sync", "device", "ghost")]
CASES.append(("text", "sync"))  # which has no batch norm
NUM_EXAMPLES = 64


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
    return notes.timeless_rows


@pytest.fixture(scope="module")
def found(workers: Workers) -> list[dict[tuple[str, str], list[dict[str, Any]]]]:
    """What each of two workers measured."""
    return workers.start(trained, 2).found()


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
