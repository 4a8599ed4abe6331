"""A small workload over arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.end import End
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Values, Workload
from tests.workers import Notes

NUM_FEATURES = 6


def examples(num: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, NUM_FEATURES)).astype(np.float32)
    return {"x": x, "label": (x[:, 0] * x[:, 1] > 0).astype(np.int64)}


ARRAYS = {"train": examples(70, 0), "validation": examples(33, 1)}


class Small(Workload):
    """Two classes, one hidden layer with batch norm and dropout; keeps the model that it made last."""

    def __init__(self) -> None:
        self.models: list[nn.Module] = []

    def defaults(self) -> Mapping[str, Value]:
        return {"dropout": 0.0, "batch_size": 12, "learning_rate": 0.1}

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        return ARRAYS

    def model(self, values: Values) -> nn.Module:
        self.models.append(
            nn.Sequential(
                nn.Linear(NUM_FEATURES, 8),
                nn.BatchNorm1d(8),
                nn.Tanh(),
                nn.Dropout(values.number("dropout")),
                nn.Linear(8, 2),
            )
        )
        return self.models[-1]

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        return F.cross_entropy(model(batch["x"]), batch["label"], reduction="none")

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        logits = model(batch["x"])
        return {
            "loss": F.cross_entropy(logits, batch["label"], reduction="none"),
            "error": (logits.argmax(1) != batch["label"]).float(),
        }


def batches_of(workload: Workload, trial: TrialSpec, group: Group) -> SharedBatches:
    """The batches of a trial's only worker."""
    return SharedBatches(
        TrialExamples(workload.datasets()), trial, BatchShare(Values(trial.values).integer("batch_size")), group.device
    )


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def small() -> Small:
    return Small()


@pytest.fixture
def make_trial(small: Small) -> Callable[..., TrialSpec]:
    """A function from what differs from the defaults to a trial of the small workload."""

    def make(
        index: int = 0,
        max_train_steps: int = 20,
        evaluation_interval_steps: int = 8,
        divergence_factor: float = 2.0,
        repeat: int = 0,
        target: float | None = None,
        **values: Value,
    ) -> TrialSpec:
        return TrialSpec(
            study="all",
            index=index,
            repeat=repeat,
            seed=0,
            values=small.hyperparameters() | values,
            max_train_steps=max_train_steps,
            evaluation_interval_steps=evaluation_interval_steps,
            divergence_factor=divergence_factor,
            target=target,
            objective=Objective(),
        )

    return make


@pytest.fixture
def run_alone() -> Callable[..., tuple[End, Notes]]:
    """A function that trains one trial in this process."""

    def run(workload: Workload, trial: TrialSpec, stop_at: int | None = None, device: str = "cpu") -> tuple[End, Notes]:
        group, notes = Group(device=torch.device(device)), Notes(stop_at)
        return train(TrialRun(workload, trial, batches_of(workload, trial, group), group, notes)), notes

    return run
