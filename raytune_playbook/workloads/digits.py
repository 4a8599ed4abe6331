"""Handwritten digits with a small residual convolutional network.

Data: scikit-learn's digits, 1,797 grey images of 8 x 8, split by a hash of each image into about 60% training, 20%
validation and 20% test. Default configuration: momentum 0.9, learning rate 0.01, 300 steps of 64; expect a best
validation error of 1 to 2%.

Shapes: B batch, W width; images are (B, 1, 8, 8).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from sklearn.datasets import load_digits
from torch import Tensor, nn

from raytune_playbook.study.spec import Value
from raytune_playbook.train.workload import Batch, Columns, Values, Workload

NUM_CLASSES = 10


class DigitsResNet(Workload):
    """A residual network: one convolution, then ``depth`` residual blocks with one pooling between their halves."""

    def defaults(self) -> Mapping[str, Value]:
        return {"learning_rate": 0.01, "width": 16, "depth": 2, "dropout": 0.0, "label_smoothing": 0.0}

    def datasets(self) -> Mapping[str, Columns]:
        digits = load_digits()
        images = (digits.images[:, None] / 16.0).astype(np.float32)
        labels = digits.target.astype(np.int64)
        split = np.array([_split_of(image) for image in images])
        return {
            name: {"image": images[split == name], "label": labels[split == name]}
            for name in ("train", "validation", "test")
        }

    def model(self, values: Values) -> nn.Module:
        return ResNet(values.int("width"), values.int("depth"), values.float("dropout"))

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        smoothing = values.float("label_smoothing") if model.training else 0.0
        return F.cross_entropy(model(batch["image"]), batch["label"], reduction="none", label_smoothing=smoothing)

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        logits, labels = model(batch["image"]), batch["label"]
        return {
            "loss": F.cross_entropy(logits, labels, reduction="none"),
            "error": (logits.argmax(1) != labels).float(),
        }


def _split_of(image: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    """By content, so that equal images share a split and a new image moves no other."""
    share = hashlib.blake2b(image.tobytes(), digest_size=2).digest()[0] / 256
    return "train" if share < 0.6 else "validation" if share < 0.8 else "test"


class ResNet(nn.Module):
    """Images (B, 1, 8, 8) to logits (B, 10)."""

    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        half = depth // 2
        self.blocks = nn.Sequential(
            *(Block(width) for _ in range(half)), nn.MaxPool2d(2), *(Block(width) for _ in range(depth - half))
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width * 4 * 4, NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.stem(images))
        logits: Tensor = self.head(self.dropout(features.flatten(1)))
        return logits


class Block(nn.Module):
    """x + Norm(f(x)), normalization last before the residual (rule UN9): (B, W, h, h) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.branch(x))
