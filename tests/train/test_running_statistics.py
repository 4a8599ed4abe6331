"""What a model keeps of the batches that it has seen, in buffers of any kind, on two workers (rules BN3 and CK1).

Each worker sees its own examples, so that its buffers are its own; both evaluate the model that is saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare, evaluation_rows
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.evaluation import WEIGHT, evaluate
from raytune_playbook.train.group import Group, synchronized_buffers
from raytune_playbook.train.loop import train
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.saved.checkpoints import Checkpoints, read_weights
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Values, Workload
from tests.workers import Notes, Workers

FOLDER, NUM_STEPS, C = "all/checkpoints/00000", 12, 3
LOWEST = torch.finfo(torch.float32).min


def examples(num: int, seed: int) -> dict[str, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(num, C, 4)).astype(np.float32)
    return {"x": x, "label": (x[:, 0].sum(1) > 0).astype(np.int64)}


ARRAYS = {"train": examples(70, 0), "validation": examples(37, 1)}


class Remembering(nn.Module):
    """Statistics of torch's and of its own, counts of steps and of examples, and constants that no sum survives."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm1d(C, track_running_stats=True)
        self.batch_norm = nn.BatchNorm1d(C)
        self.head = nn.Linear(4 * C, 2)
        self.register_buffer("mean", torch.zeros(C))
        self.register_buffer("rough", torch.zeros((), dtype=torch.bfloat16))
        self.register_buffer("num_steps", torch.tensor(0))
        self.register_buffer("num_positive", torch.tensor(0, dtype=torch.int16))
        self.register_buffer("was_positive", torch.tensor(False))
        self.register_buffer("mask", torch.tensor([0.0, LOWEST, -torch.inf, torch.nan, 1 / 3]))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            positive = (x[:, 0, 0] > 0.3).sum()
            self.mean = 0.8 * self.mean + 0.2 * x.mean((0, 2))  # another tensor at every step
            self.rough.lerp_(x.mean().bfloat16(), 0.5)
            self.num_steps += 1
            self.num_positive += positive
            self.was_positive.copy_(positive > 2)
        x = self.batch_norm(self.norm(x) - self.mean[:, None] + self.rough.float())
        share = self.num_positive / self.num_steps.clamp(min=1)
        return self.head(x.flatten(1)) + share + self.was_positive + self.mask[0]


class Remembered(Workload):
    def __init__(self) -> None:
        self.models: list[nn.Module] = []

    def defaults(self) -> Mapping[str, Value]:
        return {"batch_size": 12, "learning_rate": 0.05}

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        return ARRAYS

    def model(self, values: Values) -> nn.Module:
        self.models.append(Remembering())
        return self.models[-1]

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        logits = model(batch["x"])
        # What is added to all logits counts too.
        return F.cross_entropy(logits, batch["label"], reduction="none") + 0.1 * logits.square().mean(1)


def a_trial(averaging: str) -> TrialSpec:
    return TrialSpec(
        study="all",
        index=0,
        seed=1,
        values=Remembered().hyperparameters() | {"averaging": averaging},
        max_train_steps=NUM_STEPS,
        evaluation_interval_steps=6,
        divergence_factor=100.0,
        objective=Objective(metric="loss"),
    )


def trained(group: Group, folder: Path, averaging: str) -> dict[str, Any]:
    workload, trial, notes = Remembered(), a_trial(averaging), Notes()
    data = SharedBatches(TrialExamples(ARRAYS), trial, BatchShare(12, group.rank, group.size), group.device)
    checkpoints = Checkpoints(Storage(str(folder / averaging)), FOLDER, trial, num_best=9, group=group)
    train(TrialRun(workload, trial, data, group, notes), checkpoints)
    model = workload.models[-1]
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with synchronized_buffers(model, group):
        within = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return {"rows": notes.rows, "own": own, "within": within, "after": model.state_dict()}


def both(group: Group, folder: Path) -> dict[str, Any]:
    return {averaging: trained(group, folder, averaging) for averaging in ("none", "exponential")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rounds")


@pytest.fixture(scope="module")
def found(workers: Workers, folder: Path) -> list[dict[str, Any]]:
    """What each of two workers found."""
    return workers.start(both, 2, folder).found()


def same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))


def test_bn3_workers_that_saw_other_examples_have_other_buffers(found):
    first, second = (each["none"]["own"] for each in found)
    differing = {name for name, tensor in first.items() if not same_bits(tensor, second[name])}
    running = {f"{norm}.running_{what}" for norm in ("norm", "batch_norm") for what in ("mean", "var")}
    assert differing >= running | {"mean", "rough", "num_positive"}
    assert not differing & {"num_steps", "mask", "head.weight", "batch_norm.num_batches_tracked"}


def test_bn3_within_an_evaluation_they_are_the_same_and_the_own_bits_after(found):
    first, second = (each["none"] for each in found)
    for name, tensor in first["within"].items():
        own = [each["own"][name] for each in (first, second)]
        assert same_bits(tensor, second["within"][name]), name
        if same_bits(*own):
            assert same_bits(tensor, own[0]), name
        elif tensor.is_floating_point():
            mean = torch.stack(own).double().mean(0)
            torch.testing.assert_close(tensor.double(), mean, rtol=2 * torch.finfo(tensor.dtype).eps, atol=1e-8)
        else:
            assert torch.equal(tensor, own[0]), name
        for each in (first, second):
            assert same_bits(each["after"][name], each["own"][name]), name


@pytest.mark.parametrize("averaging", ["none", "exponential"])
def test_bn3_a_recorded_score_is_that_of_the_model_that_is_loaded(found, folder, averaging):
    scores = {row["step"]: row["loss"] for row in found[0][averaging]["rows"] if row["split"] == "validation"}
    assert sorted(scores) == [0, 6, 12]
    for step, score in scores.items():
        model = Remembering()
        model.load_state_dict(read_weights(Storage(str(folder / averaging)), FOLDER, step))
        loaded = TrialModel(Remembered(), model, Values(a_trial(averaging).values), Group())
        batches = (
            {name: torch.from_numpy(column[rows]) for name, column in ARRAYS["validation"].items()}
            | {WEIGHT: torch.from_numpy(weights)}
            for rows, weights in evaluation_rows(37, BatchShare(37))
        )
        assert evaluate(loaded, batches)["loss"] == pytest.approx(score, rel=1e-6), step


def test_bn3_averaging_the_weights_leaves_the_workers_own_buffers_alone(found):
    """The average is evaluated by statistics of its own, which training never sees."""
    for each in found:
        for name, tensor in each["none"]["own"].items():
            assert same_bits(each["exponential"]["own"][name], tensor), name
