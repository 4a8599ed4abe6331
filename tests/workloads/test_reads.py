"""What the bundled workloads read of their hyperparameters: what makes a difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.end import End
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Columns, Workload
from raytune_playbook.workloads.digits import DigitsResNet
from raytune_playbook.workloads.tabular import BreastCancer, Diabetes
from raytune_playbook.workloads.text import StandardLibraryText
from tests.workers import Notes

RNG = np.random.default_rng(0)


def examples(**columns: Any) -> dict[str, Columns]:
    return {"train": columns, "validation": columns}


LABELS = RNG.integers(0, 2, 48)
DATASETS: dict[type[Workload], dict[str, Columns]] = {
    DigitsResNet: examples(image=RNG.random((48, 1, 8, 8)).astype(np.float32), label=LABELS),
    BreastCancer: examples(row=RNG.normal(size=(48, 30)).astype(np.float32), label=LABELS),
    Diabetes: examples(row=RNG.normal(size=(48, 10)).astype(np.float32), target=RNG.random(48).astype(np.float32)),
    StandardLibraryText: examples(text=RNG.integers(0, 256, (48, 17)).astype(np.uint8)),
}
WORKLOADS = [DigitsResNet(), BreastCancer(), Diabetes(), StandardLibraryText(window=16)]

OTHERS: dict[str, Any] = {
    "optimizer": "momentum",
    "learning_rate": 0.02,
    "width": 8,
    "depth": 1,
    "activation": "silu",
    "normalization": "none",
    "residual_order": "norm_last",
    "zero_residual": True,
    "dropout": 0.4,
    "label_smoothing": 0.3,
    "shift_pixels": 1,
    "heads": 2,
    "context": 8,
    "tied_embedding": True,
    "batch_size": 24,
}
"""Of each hyperparameter a value that is no default; of the order of residual branches the other one."""


def trained(workload: Workload, **values: Any) -> tuple[End, list[dict[str, Any]]]:
    torch.set_num_threads(1)
    trial = TrialSpec(
        study="all",
        index=0,
        seed=0,
        values=workload.hyperparameters() | {"batch_size": 16} | values,
        max_train_steps=3,
        evaluation_interval_steps=3,
        divergence_factor=1e9,
        objective=Objective(),
    )
    share = BatchShare(int(trial.values["batch_size"]))
    data = SharedBatches(TrialExamples(DATASETS[type(workload)]), trial, share, torch.device("cpu"))
    notes = Notes()
    return train(TrialRun(workload, trial, data, Group(), notes)), notes.timeless_rows


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: type(workload).__name__)
def test_each_hyperparameter_of_the_bundled_workloads_is_read_and_makes_a_difference(workload):
    _, plain = trained(workload)
    for name, default in workload.defaults().items():
        if name == "batch_size":  # its batches are made before the loop
            continue
        other = OTHERS[name] if default != OTHERS[name] else "norm_first"
        end, rows = trained(workload, **{name: other})
        assert name in end.read, name
        assert rows != plain, name


@pytest.mark.parametrize(
    ("workload", "beside", "unread"),
    [
        (DigitsResNet(), {"normalization": "layer"}, {"batch_norm": "sync", "beta1": 0.5}),
        (DigitsResNet(), {"depth": 0}, {"zero_residual": True}),
        (BreastCancer(), {"depth": 0}, {"activation": "tanh", "dropout": 0.5, "batch_norm": "ghost"}),
        (StandardLibraryText(window=16), {}, {"momentum": 0.5, "batch_norm": "sync", "virtual_batch_size": 4}),
    ],
)
def test_what_makes_no_difference_there_is_not_read(workload, beside: Mapping[str, Any], unread: Mapping[str, Any]):
    _, plain = trained(workload, **beside)
    for name, value in unread.items():
        end, rows = trained(workload, **beside, **{name: value})
        assert name not in end.read, name
        assert rows == plain, name
