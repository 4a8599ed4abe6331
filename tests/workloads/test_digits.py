"""The handwritten digits: data, model, and a short training (rules ST1, ST5, ST7 and SC4)."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import nn

from raytune_playbook.data.batches import SharedBatches
from raytune_playbook.study.spec import Objective, TrialSpec
from raytune_playbook.train.evaluation import WEIGHT
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.workload import Values
from raytune_playbook.workloads.digits import NUM_CLASSES, DigitsResNet


@pytest.fixture(scope="module")
def workload() -> DigitsResNet:
    return DigitsResNet()


@pytest.fixture(scope="module")
def datasets(workload):
    return workload.datasets()


def model(workload, **values):
    torch.manual_seed(0)
    return workload.model(Values(workload.hyperparameters() | values))


def contents(columns) -> list[bytes]:
    return [image.tobytes() for image in columns["image"]]


def test_splits_are_disjoint_by_content_and_stable(datasets):
    sizes = {name: len(columns["label"]) for name, columns in datasets.items()}
    assert sizes == {"train": 1095, "validation": 352, "test": 350}
    seen = [set(contents(columns)) for columns in datasets.values()]
    assert sum(map(len, seen)) == len(set.union(*seen))
    digests = {
        name: hashlib.sha256(b"".join(contents(columns)) + columns["label"].astype("<i8").tobytes()).hexdigest()[:12]
        for name, columns in datasets.items()
    }
    assert digests == {"train": "e94bd48b72f9", "validation": "cea862162b47", "test": "054b17d088f0"}


def test_images_are_grey_and_every_split_has_every_class(datasets):
    for columns in datasets.values():
        images = columns["image"]
        assert images.dtype == np.float32
        assert images.shape[1:] == (1, 8, 8)
        assert (images.min(), images.max()) == (0.0, 1.0)
        shares = np.bincount(columns["label"], minlength=NUM_CLASSES) / len(images)
        assert shares.min() > 0.05
        assert len(shares) == NUM_CLASSES


class Notes:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def measured(self, rows) -> None:
        self.rows += rows

    def stepped(self, step: int) -> None:
        pass

    def evaluated(self) -> None:
        pass

    def wants_stop(self) -> bool:
        return False


def test_st5_a_short_training_is_far_better_than_chance(workload, datasets):
    torch.set_num_threads(1)
    trial = TrialSpec(
        study="all",
        index=0,
        seed=0,
        values=workload.hyperparameters() | {"learning_rate": 0.01},
        max_train_steps=60,
        evaluation_interval_steps=60,
        divergence_factor=2.0,
        objective=Objective(),
    )
    data = SharedBatches(
        datasets,
        trial=trial,
        batch_size=64,
        rank=0,
        num_workers=1,
        device=torch.device("cpu"),
        weight_column=WEIGHT,
    )
    notes = Notes()
    end = train(workload, trial, data, Group(), notes)
    assert end.outcome == "completed"
    errors = {(row["step"], row["split"]): row["error"] for row in notes.rows if row["split"] != "step"}
    assert errors[0, "validation"] > 0.75
    assert errors[60, "validation"] < 0.1
    assert errors[60, "train"] < 0.1


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
@pytest.mark.parametrize("width", [4, 16])
def test_st7_width_and_depth_make_the_model(workload, width, depth):
    net = model(workload, width=width, depth=depth)
    stem, block = 9 * width + 2 * width, 2 * (9 * width * width + 2 * width)
    head = width * 16 * NUM_CLASSES + NUM_CLASSES
    assert sum(parameter.numel() for parameter in net.parameters()) == stem + depth * block + head
    assert net(torch.zeros(3, 1, 8, 8)).shape == (3, NUM_CLASSES)


def test_un9_normalization_comes_last_before_the_residual(workload):
    block = model(workload).blocks[0]
    assert isinstance(block.branch[-1], nn.BatchNorm2d)
    nn.init.zeros_(block.branch[-1].weight)
    x = torch.rand(4, 16, 8, 8)
    assert torch.equal(block(x), x)  # of what is left of x + Norm(f(x)) the rectifier changes nothing


def test_sc4_dropout_takes_effect_in_training_alone(workload):
    x = torch.rand(16, 1, 8, 8)
    plain, dropping = model(workload), model(workload, dropout=0.5)
    assert torch.equal(plain.train()(x), plain(x))
    assert not torch.equal(dropping.train()(x), dropping(x))
    # Both are at their initialization, with running averages of the same number of batches.
    assert torch.equal(plain.eval()(x), dropping.eval()(x))
    assert torch.equal(dropping(x), dropping(x))


def test_sc4_label_smoothing_takes_effect_in_the_training_loss_alone(workload):
    torch.manual_seed(1)
    batch = {"image": torch.rand(16, 1, 8, 8), "label": torch.arange(16) % 10}
    net = model(workload)
    smooth = Values(workload.hyperparameters() | {"label_smoothing": 0.2})
    plain = Values(workload.hyperparameters())
    logits = net.train()(batch["image"])
    log_shares = F.log_softmax(logits, 1)
    own = -log_shares[torch.arange(16), batch["label"]]
    torch.testing.assert_close(workload.loss(net, batch, plain), own)
    torch.testing.assert_close(workload.loss(net, batch, smooth), 0.8 * own - 0.2 * log_shares.mean(1))
    net.eval()
    assert torch.equal(workload.loss(net, batch, smooth), workload.loss(net, batch, plain))
    assert torch.equal(workload.metrics(net, batch, smooth)["loss"], workload.loss(net, batch, plain))


def test_metrics_are_one_value_per_example(workload):
    net = model(workload).eval()
    batch = {"image": torch.rand(16, 1, 8, 8), "label": torch.arange(16) % 10}
    error = workload.metrics(net, batch, Values(workload.hyperparameters()))["error"]
    wrong = [int(net(batch["image"][i : i + 1]).argmax()) != int(batch["label"][i]) for i in range(16)]
    assert error.tolist() == [float(each) for each in wrong]


def test_st1_what_a_round_needs_to_know(workload):
    spec = workload.spec()
    assert (spec.module, spec.name, spec.settings) == ("raytune_playbook.workloads.digits", "DigitsResNet", {})
    assert {"width", "depth", "dropout", "label_smoothing", "learning_rate"} <= workload.hyperparameters().keys()
    assert workload.hyperparameters()["dropout"] == workload.hyperparameters()["label_smoothing"] == 0.0
