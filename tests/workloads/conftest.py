"""One trial of a bundled workload in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from raytune_playbook.train.workload import Columns, Workload
from tests.workers import Notes

Rows = list[dict[str, Any]]


@pytest.fixture
def train_alone() -> Callable[..., Rows]:
    """A function that trains a workload and returns its evaluations at step 0 and at the end."""

    def run(workload: Workload, datasets: Mapping[str, Columns], num_steps: int, **values: Value) -> Rows:
        torch.set_num_threads(1)
        trial = TrialSpec(
            study="all",
            index=0,
            seed=0,
            values=workload.hyperparameters() | values,
            max_train_steps=num_steps,
            evaluation_interval_steps=num_steps,
            divergence_factor=2.0,
            objective=Objective(),
        )
        data = SharedBatches(
            TrialExamples(datasets), trial, BatchShare(int(trial.values["batch_size"])), torch.device("cpu")
        )
        notes = Notes()
        assert train(TrialRun(workload, trial, data, Group(), notes)).outcome == "completed"
        return notes.of("train", "validation")

    return run
