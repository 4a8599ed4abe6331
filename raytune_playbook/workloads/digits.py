"""Handwritten digits with a small residual convolutional network.

Data: scikit-learn's digits, 1,797 grey images of 8 x 8, split by a hash of each image into about 60% training, 20%
validation and 20% test. Default configuration: momentum 0.9, learning rate 0.01, 300 steps of 64; expect a best
validation error of 1 to 2% (three seeds: 1.4, 1.7 and 1.7%; with images shifted by up to a pixel 0.9, 1.1 and 1.7%;
without normalization 2.6, 2.6 and 4.3%). ``raytune-playbook run jobs/digits_batch_norm.py`` tunes it.

Shapes: B batch, W width; images are (B, 1, 8, 8).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.train.workload import Batch, Columns, Values, Workload
from raytune_playbook.workloads.layers import RESIDUAL_ORDERS, activation, flag, image_norm, zero_
from raytune_playbook.workloads.splits import SPLITS, split_of

NUM_CLASSES = 10
IMAGE_PIXELS = 8
NORMALIZATIONS = ("none", "batch", "layer")


class DigitsResNet(Workload):
    """A residual network: one convolution, then ``depth`` residual blocks with one pooling between their halves."""

    def defaults(self) -> Mapping[str, Value]:
        return {
            "learning_rate": 0.01,
            "width": 16,
            "depth": 2,
            "activation": "relu",  # relu, gelu, silu or tanh
            "normalization": "batch",  # none, batch or layer
            "residual_order": "norm_last",  # norm_last: x + Norm(f(x)), norm_first: x + f(Norm(x))
            "zero_residual": False,  # whether residual branches are initialized to zero
            "dropout": 0.0,
            "label_smoothing": 0.0,
            "shift_pixels": 0,  # augmentation: training images move by up to so many pixels; 0 for none
        }

    def datasets(self) -> Mapping[str, Columns]:
        from sklearn.datasets import load_digits  # a second, for which a round's first line does not wait

        digits = load_digits()
        images = (digits.images[:, None] / 16.0).astype(np.float32)
        labels = digits.target.astype(np.int64)
        split = np.array([split_of(image.tobytes()) for image in images])
        return {name: {"image": images[split == name], "label": labels[split == name]} for name in SPLITS}

    def model(self, values: Values) -> nn.Module:
        return ResNet(values)

    def augment(self, batch: Batch, values: Values) -> Batch:
        return {**batch, "image": shifted(batch["image"], values.integer("shift_pixels"))}

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        smoothing = values.strength("label_smoothing") if model.training else 0.0
        return F.cross_entropy(model(batch["image"]), batch["label"], reduction="none", label_smoothing=smoothing)

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        logits, labels = model(batch["image"]), batch["label"]
        return {
            "loss": F.cross_entropy(logits, labels, reduction="none"),
            "error": (logits.argmax(1) != labels).float(),
        }

    def predictions(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        probability, label = model(batch["image"]).softmax(1).max(1)
        return {"label": label, "probability": probability}


def shifted(images: Tensor, max_pixels: int) -> Tensor:
    """Each image (B, 1, h, w) moved by up to ``max_pixels`` down or up and right or left, black moving in.

    Raises:
        SpecError: so far that nothing of an image may be left, or less than not at all.
    """
    if not 0 <= max_pixels < IMAGE_PIXELS:
        raise SpecError(
            f"shift_pixels: 0 <= shift_pixels < {IMAGE_PIXELS} must hold, but got {max_pixels}; use 0 for none."
        )
    if max_pixels == 0:
        return images
    batch, _, height, width = images.shape
    # From the global generator, which the loop has seeded for this worker and step: no two workers move alike.
    down, right = torch.randint(0, 2 * max_pixels + 1, (2, batch), device=images.device)
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    padded = F.pad(images, [max_pixels] * 4)
    which = torch.arange(batch, device=images.device)
    return padded[which[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


class ResNet(nn.Module):
    """Images (B, 1, 8, 8) to logits (B, 10).

    Raises:
        SpecError: a value of a wrong type, or none of its choices.
    """

    def __init__(self, values: Values) -> None:
        super().__init__()
        width, depth = values.integer("width"), values.integer("depth")
        normalization = values.choice("normalization", NORMALIZATIONS)
        norm_first = values.choice("residual_order", RESIDUAL_ORDERS) == "norm_first"
        # With the normalization first in every branch the stem's output goes to the branches as it is.
        self.stem = nn.Sequential(_convolution(1, width, normalization))
        if not norm_first:
            self.stem.extend([image_norm(normalization, width), activation(values)])
        half = depth // 2
        self.blocks = nn.Sequential(
            *(Block(values) for _ in range(half)), nn.MaxPool2d(2), *(Block(values) for _ in range(depth - half))
        )
        if norm_first:
            self.blocks.extend([image_norm(normalization, width), activation(values)])
        self.dropout = nn.Dropout(values.strength("dropout"))
        self.head = nn.Linear(width * (IMAGE_PIXELS // 2) ** 2, NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.stem(images))
        logits: Tensor = self.head(self.dropout(features.flatten(1)))
        return logits


class Block(nn.Module):
    """Two convolutions beside the identity: (B, W, h, h) to the same.

    ``norm_last`` is act(x + Norm(f(x))), the residual block of He et al. (2015); ``norm_first`` is x + f(Norm(x)), with
    each convolution after its normalization and activation (He et al. 2016).
    """

    def __init__(self, values: Values) -> None:
        super().__init__()
        width, normalization = values.integer("width"), values.text("normalization")
        norm_first = values.text("residual_order") == "norm_first"
        self.branch = nn.Sequential()
        if norm_first:
            for _ in range(2):
                self.branch.extend(
                    [image_norm(normalization, width), activation(values), _convolution(width, width, normalization)]
                )
        else:
            self.branch.extend(
                [_convolution(width, width, normalization), image_norm(normalization, width), activation(values)]
            )
            self.branch.extend([_convolution(width, width, normalization), image_norm(normalization, width)])
        if flag(values, "zero_residual"):
            zero_(self.branch)
        self.after = nn.Identity() if norm_first else activation(values)

    def forward(self, x: Tensor) -> Tensor:
        sum_: Tensor = self.after(x + self.branch(x))
        return sum_


def _convolution(num_in: int, num_out: int, normalization: str) -> nn.Conv2d:
    """With a bias where no normalization has one."""
    return nn.Conv2d(num_in, num_out, 3, padding=1, bias=normalization == "none")
