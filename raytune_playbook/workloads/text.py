"""Program text, byte by byte, with a decoder-only transformer; compute-bound: its loss keeps falling.

Data: the sources of the running Python's standard library (without its tests and what some distributions leave out or
add), split by a hash of each file into about 60% training, 20% validation and 20% test, at most 8 MB and 64 kB of each.
The same on every machine with the same build of Python; a session reads them once and shares them with its workers.

Default configuration: Adam, learning rate 0.003, batches of 16 windows of 128 bytes, 141,056 parameters; 50 ms a step
on one core. Validation loss with CPython 3.11.7, one seed: 8.18 bits per byte before the first step, 3.67 after 300
(2.54 nats), 3.27 after 600, 2.80 after 1200, 2.58 after 1800 and 2.45 after 2400, still falling, as is that of the
training sample (2.09). ``raytune-playbook run jobs/text_residual_order.py`` tunes it over short trainings.

Shapes: B batch, T context, W width, H heads; windows are (B, window + 1), their last bytes are only predicted.
"""

from __future__ import annotations

import hashlib
import math
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.train.workload import Batch, Columns, Values, Workload
from raytune_playbook.workloads.layers import RESIDUAL_ORDERS, activation, feature_norm, flag, zero_
from raytune_playbook.workloads.splits import SPLITS, Split, split_of

NUM_BYTES = 256
NORMALIZATIONS = ("none", "layer")
"""Batch norm is not among them: over positions it would let a byte see those that follow."""

LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idle_test",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
}
"""Folders that belong to other packages, or that distributions may leave out."""

LEFT_OUT_PREFIXES = ("_sysconfigdata", "sitecustomize", "usercustomize")
"""Files that differ from machine to machine."""

MAX_BYTES: dict[Split, int] = {"train": 8_000_000, "validation": 65_536, "test": 65_536}


class StandardLibraryText(Workload):
    """Which byte comes next? An example is a window of text, its loss the mean over the window's positions, in nats.

    A window is read in pieces of ``context`` bytes, so that every context length predicts the same bytes.

    Args:
        window: bytes that an example predicts.
    """

    def __init__(self, window: int = 128) -> None:
        if window < 1:
            raise SpecError(f"window: an example must have at least one byte, but got {window}; 128 is the default.")
        self.window = window

    def defaults(self) -> Mapping[str, Value]:
        return {
            "optimizer": "adam",
            "learning_rate": 0.003,
            "batch_size": 16,
            "width": 64,
            "depth": 2,
            "heads": 4,
            "context": self.window,  # bytes that the model looks at, a divisor of the window
            "activation": "gelu",  # relu, gelu, silu or tanh
            "normalization": "layer",  # none or layer
            "residual_order": "norm_first",  # norm_last: x + Norm(f(x)), norm_first: x + f(Norm(x))
            "zero_residual": False,  # whether residual branches are initialized to zero
            "tied_embedding": False,  # whether output weights are those of the input embedding
            "dropout": 0.0,
            "label_smoothing": 0.0,
        }

    def datasets(self) -> Mapping[str, Columns]:
        folder = Path(sysconfig.get_path("stdlib"))
        texts: dict[Split, list[bytes]] = {split: [] for split in SPLITS}
        for source in sources(folder):
            texts[split_of(source)].append(source)
        if not all(texts.values()):
            raise SpecError(
                f"StandardLibraryText: Python's standard library must be there as files, but {folder} holds too few; "
                "install a Python with its sources."
            )
        return {
            split: {"text": windows(b"\0".join(files)[: MAX_BYTES[split]], self.window)}
            for split, files in texts.items()
        }

    def infeasible(self, values: Values) -> str | None:
        width, heads, context = values.integer("width"), values.integer("heads"), values.integer("context")
        if heads < 1 or width % heads:
            return f"{heads} heads do not divide a width of {width}"
        if context < 1 or self.window % context:
            return f"a context of {context} bytes does not divide the window of {self.window}"
        return None

    def model(self, values: Values) -> nn.Module:
        return Transformer(values)

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        smoothing = values.strength("label_smoothing") if model.training else 0.0
        logits, targets = self._predicted(model, batch, values)
        return _per_window(F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing), batch)

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        logits, targets = self._predicted(model, batch, values)
        nats = _per_window(F.cross_entropy(logits, targets, reduction="none"), batch)
        wrong = _per_window((logits.argmax(1) != targets).float(), batch)
        return {"loss": nats, "bits_per_byte": nats / math.log(2), "error": wrong}

    def predictions(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        logits, _ = self._predicted(model, batch, values)
        return {"next_bytes": logits.argmax(1).view(len(batch["text"]), self.window).to(torch.uint8)}

    def _predicted(self, model: nn.Module, batch: Batch, values: Values) -> tuple[Tensor, Tensor]:
        """Logits (B window, 256) and the bytes (B window,) that they are for."""
        text = batch["text"].long()
        logits = model(text[:, :-1].reshape(-1, values.integer("context")))
        return logits.flatten(0, 1), text[:, 1:].flatten()


def _per_window(per_byte: Tensor, batch: Batch) -> Tensor:
    return per_byte.view(len(batch["text"]), -1).mean(1)


def sources(folder: Path) -> Iterator[bytes]:
    """The Python files under a folder, in an order that mixes its packages: by a hash of their content."""
    files = [path for path in folder.rglob("*.py") if _is_taken(path.relative_to(folder))]
    return iter(sorted((path.read_bytes() for path in files), key=lambda text: hashlib.blake2b(text).digest()))


def _is_taken(path: Path) -> bool:
    return LEFT_OUT.isdisjoint(path.parts) and not path.name.startswith(LEFT_OUT_PREFIXES)


def windows(text: bytes, window: int) -> npt.NDArray[np.uint8]:
    """Text cut into windows, (num_windows, window + 1): the last byte of one is the first of the next."""
    numbers = np.frombuffer(text, np.uint8)
    starts = np.arange(max(0, len(numbers) - 1) // window) * window
    cut: npt.NDArray[np.uint8] = numbers[starts[:, None] + np.arange(window + 1)]
    return cut


class Transformer(nn.Module):
    """Bytes (B, T) to logits (B, T, 256); those at position t depend on the bytes up to t alone.

    Raises:
        SpecError: a value of a wrong type, or none of its choices.
    """

    def __init__(self, values: Values) -> None:
        super().__init__()
        width, normalization = values.integer("width"), values.choice("normalization", NORMALIZATIONS)
        self.bytes = nn.Embedding(NUM_BYTES, width)
        self.positions = nn.Embedding(values.integer("context"), width)
        for embedding in (self.bytes, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)
        self.dropout = nn.Dropout(values.strength("dropout"))
        self.layers = nn.Sequential()
        for _ in range(values.integer("depth")):
            self.layers.extend([Residual(Attention(values), values), Residual(Feedforward(values), values)])
        self.norm = feature_norm(normalization, width)
        self.head = nn.Linear(width, NUM_BYTES, bias=False)
        if flag(values, "tied_embedding"):
            self.head.weight = self.bytes.weight

    def forward(self, text: Tensor) -> Tensor:
        x = self.dropout(self.bytes(text) + self.positions.weight[: text.shape[1]])
        logits: Tensor = self.head(self.norm(self.layers(x)))
        return logits


class Residual(nn.Module):
    """x + Norm(f(x)) or x + f(Norm(x)): (B, T, W) to the same."""

    def __init__(self, function: Attention | Feedforward, values: Values) -> None:
        super().__init__()
        norm = feature_norm(values.text("normalization"), values.integer("width"))
        norm_last = values.choice("residual_order", RESIDUAL_ORDERS) == "norm_last"
        self.branch = nn.Sequential(function, norm) if norm_last else nn.Sequential(norm, function)
        self.dropout = nn.Dropout(values.strength("dropout"))
        if flag(values, "zero_residual"):
            zero_([function.out, norm] if norm_last else [function.out])

    def forward(self, x: Tensor) -> Tensor:
        sum_: Tensor = x + self.dropout(self.branch(x))
        return sum_


class Attention(nn.Module):
    """Causal self-attention of several heads: (B, T, W) to the same."""

    def __init__(self, values: Values) -> None:
        super().__init__()
        width, self.num_heads = values.integer("width"), values.integer("heads")
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        heads = self.queries_keys_values(x).view(batch, time, 3, self.num_heads, -1)
        queries, keys, contents = heads.permute(2, 0, 3, 1, 4)  # (B, H, T, W / H) each
        seen = F.scaled_dot_product_attention(queries, keys, contents, is_causal=True)
        attended: Tensor = self.out(seen.transpose(1, 2).reshape(batch, time, width))
        return attended


class Feedforward(nn.Module):
    """One hidden layer, four times as wide, at every position alone: (B, T, W) to the same."""

    def __init__(self, values: Values) -> None:
        super().__init__()
        width = values.integer("width")
        self.hidden = nn.Linear(width, 4 * width)
        self.activation = activation(values)
        self.out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        transformed: Tensor = self.out(self.activation(self.hidden(x)))
        return transformed
