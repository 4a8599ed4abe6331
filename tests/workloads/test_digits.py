"""The handwritten digits: data, model, and a short training (rules ST1, ST5, ST7 and SC4)."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from sklearn.datasets import load_digits
from torch import nn

from raytune_playbook.errors import SpecError
from raytune_playbook.train.workload import Values
from raytune_playbook.workloads.digits import NUM_CLASSES, DigitsResNet, shifted

ORDERS = ("norm_last", "norm_first")
NORMALIZATIONS = ("none", "batch", "layer")


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
    for name, columns in datasets.items():
        images, labels = expected_split(name)
        assert np.array_equal(columns["image"], images)
        assert np.array_equal(columns["label"], labels)


def expected_split(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The examples of scikit-learn's data set in its order whose share, a byte of a hash of their pixels, says so."""
    first, last = {"train": (0, 153), "validation": (154, 204), "test": (205, 255)}[name]
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 16).astype("<f4")
    shares = [hashlib.blake2b(image.tobytes(), digest_size=2).digest()[0] for image in images]
    chosen = [first <= share <= last for share in shares]
    return images[chosen], labels[chosen]


def test_images_are_grey_and_every_split_has_every_class(datasets):
    for columns in datasets.values():
        images = columns["image"]
        assert images.dtype == np.float32
        assert images.shape[1:] == (1, 8, 8)
        assert (images.min(), images.max()) == (0.0, 1.0)
        shares = np.bincount(columns["label"], minlength=NUM_CLASSES) / len(images)
        assert shares.min() > 0.05
        assert len(shares) == NUM_CLASSES


def test_st5_a_short_training_is_far_better_than_chance(workload, datasets, train_alone):
    found = train_alone(workload, datasets, 60, learning_rate=0.01)
    errors = {(row["step"], row["split"]): row["error"] for row in found}
    assert errors[0, "validation"] > 0.75
    assert errors[60, "validation"] < 0.1
    assert errors[60, "train"] < 0.1


class FirstBlock(nn.Module):
    """The block of the first version, with which the main job's results were recorded."""

    def __init__(self) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(16, 16, 3, padding=1, bias=False) for _ in range(2)]
        self.branch = nn.Sequential(convolutions[0], nn.BatchNorm2d(16), nn.ReLU(), convolutions[1], nn.BatchNorm2d(16))

    def forward(self, x):
        return torch.relu(x + self.branch(x))


def first_version() -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    blocks = nn.Sequential(FirstBlock(), nn.MaxPool2d(2), FirstBlock())
    return nn.Sequential(stem, blocks, nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 10))


def test_the_defaults_keep_every_number_of_the_first_version(workload, datasets):
    torch.manual_seed(0)
    theirs = first_version()
    ours = model(workload, dropout=0.3)
    batch = {name: torch.from_numpy(column[:64]) for name, column in datasets["train"].items()}
    values = Values(workload.hyperparameters() | {"label_smoothing": 0.1})
    for seed in range(3):
        torch.manual_seed(seed)
        expected = F.cross_entropy(theirs(batch["image"]), batch["label"], reduction="none", label_smoothing=0.1)
        torch.manual_seed(seed)
        loss = workload.loss(ours, batch, values)
        assert torch.equal(loss, expected)
        for net, each in ((theirs, expected), (ours, loss)):
            net.zero_grad()
            each.mean().backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 0.1 * parameter.grad
    for one, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert list(ours.state_dict())[:3] == ["stem.0.weight", "stem.1.weight", "stem.1.bias"]


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


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("order", ORDERS)
def test_un9_residual_branches_that_start_at_zero_make_each_block_the_identity(workload, order, normalization):
    values = {"residual_order": order, "normalization": normalization}
    x = torch.rand(4, 16, 8, 8)
    assert not torch.equal(model(workload, **values).blocks[0](x), x)
    block = model(workload, **values, zero_residual=True).blocks[0]
    assert torch.equal(block(x), x)
    (block(x) * torch.rand(x.shape)).sum().backward()
    assert any(parameter.grad.any() for parameter in block.parameters())  # the zeros are left at the first step


def test_un9_with_the_normalization_first_nothing_comes_after_the_residual(workload):
    block, x = model(workload, residual_order="norm_first").blocks[0], torch.randn(4, 16, 8, 8)
    norm1, _, convolution1, norm2, _, convolution2 = block.branch
    inner = convolution1(F.batch_norm(x, None, None, norm1.weight, norm1.bias, training=True).relu())
    outer = convolution2(F.batch_norm(inner, None, None, norm2.weight, norm2.bias, training=True).relu())
    assert torch.equal(block(x), x + outer)


@pytest.mark.parametrize("order", ORDERS)
def test_bn5_normalization_is_a_choice(workload, datasets, train_alone, order):
    few = datasets | {"validation": {name: column[:100] for name, column in datasets["validation"].items()}}
    for normalization in NORMALIZATIONS:
        found = train_alone(workload, few, 40, normalization=normalization, residual_order=order)
        assert min(row["error"] for row in found if row["split"] == "validation") < 0.4


def test_bn5_layer_norm_is_over_the_channels_and_pixels_of_each_image(workload):
    norm = model(workload, normalization="layer").stem[1]
    with torch.no_grad():
        norm.weight.copy_(torch.rand(16))
        norm.bias.copy_(torch.rand(16))
    x = torch.randn(4, 16, 8, 8) * 3 + 1
    expected = F.layer_norm(x, x.shape[1:]) * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), expected)


def test_bn5_without_normalization_convolutions_have_a_bias(workload):
    kinds = [type(layer) for layer in model(workload, normalization="none").modules()]
    assert not {nn.BatchNorm2d, nn.GroupNorm} & set(kinds)
    for normalization in NORMALIZATIONS:
        net = model(workload, normalization=normalization)
        convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
        assert len(convolutions) == 5
        assert {layer.bias is None for layer in convolutions} == {normalization != "none"}


@pytest.mark.parametrize(("name", "kind"), [("gelu", nn.GELU), ("silu", nn.SiLU), ("tanh", nn.Tanh)])
@pytest.mark.parametrize("order", ORDERS)
def test_st7_activation_is_a_choice(workload, order, name, kind):
    kinds = [type(layer) for layer in model(workload, activation=name, residual_order=order).modules()]
    assert nn.ReLU not in kinds
    assert kinds.count(kind) == 5
    with pytest.raises(SpecError, match="activation must be one of relu, gelu, silu, tanh, but got 'sine'"):
        model(workload, activation="sine")


# ------------------------------------------------------------------ augmentation


def test_st7_augmentation_moves_each_image_and_lets_black_in(workload):
    torch.manual_seed(0)
    images = torch.rand(300, 1, 8, 8)
    moved = shifted(images, 2)
    seen = set()
    for image, other in zip(images[:, 0], moved[:, 0], strict=True):
        padded = F.pad(image, [2] * 4)
        where = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.equal(padded[down : down + 8, right : right + 8], other)
        ]
        assert len(where) == 1
        seen |= set(where)
    assert len(seen) == 25  # every way to move, each image on its own


def test_st7_augmentation_is_off_by_default_and_moves_images_alone(workload):
    batch = {"image": torch.rand(16, 1, 8, 8), "label": torch.arange(16) % 10}
    plain = Values(workload.hyperparameters())
    moving = Values(workload.hyperparameters() | {"shift_pixels": 1})
    state = torch.get_rng_state()
    assert torch.equal(workload.augment(batch, plain)["image"], batch["image"])
    assert torch.equal(torch.get_rng_state(), state)  # not even a random number is drawn
    moved = workload.augment(batch, moving)
    assert not torch.equal(moved["image"], batch["image"])
    assert torch.equal(moved["label"], batch["label"])


def test_mh2_augmentation_follows_the_seed_of_worker_and_step(workload):
    images = torch.rand(16, 1, 8, 8)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(shifted(images, 2))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("pixels", [-1, 8])
def test_a_shift_that_leaves_nothing_is_refused(pixels):
    with pytest.raises(SpecError, match=f"0 <= shift_pixels < 8 must hold, but got {pixels}"):
        shifted(torch.zeros(1, 1, 8, 8), pixels)


def test_predictions_are_a_class_and_its_probability(workload):
    net, images = model(workload).eval(), torch.rand(16, 1, 8, 8)
    found = workload.predictions(net, {"image": images}, Values(workload.hyperparameters()))
    shares = net(images).exp() / net(images).exp().sum(1, keepdim=True)
    assert found["label"].tolist() == shares.argmax(1).tolist()
    torch.testing.assert_close(found["probability"], shares.max(1).values)


# ------------------------------------------------------------------ regularization


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
    assert {"activation", "normalization", "residual_order", "zero_residual", "shift_pixels"} <= set(
        workload.defaults()
    )
    assert workload.hyperparameters()["dropout"] == workload.hyperparameters()["label_smoothing"] == 0.0
