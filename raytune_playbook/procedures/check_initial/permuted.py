"""A model's metrics with the labels of a split permuted among its examples: what chance gives, measured.

Permuting the labels breaks what a model knows of each example and leaves everything else, how common a class is
included. The same is done by leaving the labels and permuting what the model says: then a label may be anything that
the metric reads, such as the bytes of a window that follow those the model was given, and the model need not be asked
again. So its outputs are recorded once and played back in another order. Where a workload does more with its model than
to call it, or its outputs are not of single examples, the label column itself is permuted, and the model asked again.

Shapes: N examples, B of a batch, k rows of an output that belong to one example.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from statistics import pstdev
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from raytune_playbook.data.columns import Columns
from raytune_playbook.engine.trained.load import KeptModel
from raytune_playbook.procedures.check_initial.against_chance import Scored
from raytune_playbook.train.evaluation import evaluation_mode
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.workload import Batch

NUM_PERMUTATIONS = 199
"""With as many the smallest p-value is 0.005."""

MAX_EXAMPLES = 2048
"""So many tell whether a model is better than chance."""

MAX_OUTPUT_BYTES = 2**26
"""What is kept of a model's outputs; of larger ones fewer examples are scored."""

BATCH_SIZE = 64

_Outputs: TypeAlias = list[Tensor]
"""Of the calls of the model within one look at a metric, each of shape (N, k, ...)."""


class _NotPlayedBackError(Exception):
    """What a workload does with its model cannot be done with its recorded outputs."""


@torch.no_grad()
def scored(kept: KeptModel, examples: Columns, metric: str, *, seed: int) -> Scored:
    """A kept model's metric on examples, as they are and with their labels permuted.

    Args:
        examples: columns of shape (N, ...).
        metric: of the workload's metrics, or of its metrics of the whole set.
        seed: of the permutations.
    """
    model, rng = kept.model, np.random.default_rng(seed)
    num = len(next(iter(examples.values())))
    with evaluation_mode(model):
        if metric not in model.metrics(_batch(examples, np.arange(min(num, 2)), model)):
            return _of_whole_set(model, examples, metric, rng)
        try:
            return _played_back(model, examples, metric, rng)
        except _NotPlayedBackError as reason:
            return _with_labels_permuted(model, examples, metric, rng, str(reason))


# ---------------------------------------------------------------------- by what the model has said


def _played_back(model: TrialModel, examples: Columns, metric: str, rng: np.random.Generator) -> Scored:
    outputs, num = _recorded(model, examples)
    examples = {name: column[:num] for name, column in examples.items()}

    def value(rows: npt.NDArray[np.int64] | None) -> float:
        """With each example judged by what was said of another; None for what is said on average."""
        total = 0.0
        for first in range(0, num, BATCH_SIZE):
            batch = _batch(examples, np.arange(first, min(first + BATCH_SIZE, num)), model)
            size = len(next(iter(batch.values())))
            if rows is None:
                said = [output.mean(0, keepdim=True).expand(size, *output.shape[1:]) for output in outputs]
            else:
                said = [output[torch.from_numpy(rows[first : first + size])] for output in outputs]
            playing = dataclasses.replace(model, module=_Playing(said))
            total += float(playing.metrics(batch)[metric].double().sum())
        return total / num

    as_they_are = value(np.arange(num))
    permuted = tuple(value(rng.permutation(num)) for _ in range(NUM_PERMUTATIONS))
    if pstdev(permuted) <= 1e-9 * abs(as_they_are) and model.workload.label_column in examples:
        raise _NotPlayedBackError("its outputs are the same for all examples, or hold what the labels have cost")
    is_number = all(output.is_floating_point() for output in outputs)
    return Scored(metric, as_they_are, permuted, "", value(None) if is_number else None, num)


def _recorded(model: TrialModel, examples: Columns) -> tuple[_Outputs, int]:
    """Outputs of the calls that the metrics make, and of how many examples."""
    num = len(next(iter(examples.values())))
    parts: list[_Outputs] = []
    first = 0
    while first < num:
        rows = np.arange(first, min(first + BATCH_SIZE, num))
        parts.append(_said(model, _batch(examples, rows, model)))
        if not first:
            _require_one_for_each(model, examples, rows, parts[0])
            num_bytes = sum(output.nelement() * output.element_size() for output in parts[0]) / len(rows)
            num = min(num, max(BATCH_SIZE, int(MAX_OUTPUT_BYTES / max(1.0, num_bytes))))
        first += len(rows)
    return [torch.cat(of_call)[:num] for of_call in zip(*parts, strict=True)], num


def _require_one_for_each(model: TrialModel, examples: Columns, rows: npt.NDArray[np.int64], said: _Outputs) -> None:
    """Of the same examples in another order the same must be said of each."""
    again = _said(model, _batch(examples, rows[::-1].copy(), model))
    for one, other in zip(said, again, strict=True):
        if not torch.allclose(one.double(), other.flip(0).double(), rtol=1e-3, atol=1e-4, equal_nan=True):
            raise _NotPlayedBackError("its outputs are not of single examples")


def _said(model: TrialModel, batch: Batch) -> _Outputs:
    recording = _Recording(model.module)
    try:
        dataclasses.replace(model, module=recording).metrics(batch)
    except AttributeError:
        raise _NotPlayedBackError("more is done with it than to call it") from None
    size = len(next(iter(batch.values())))
    if not recording.outputs or not all(output.dim() and len(output) % size == 0 for output in recording.outputs):
        raise _NotPlayedBackError("its outputs are not of single examples")
    return [output.reshape(size, -1, *output.shape[1:]) for output in recording.outputs]


class _Recording(nn.Module):
    """Calls a model, and keeps what it returns; has nothing else of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._call = model.__call__  # not a submodule: what looks into the model is to fail
        self.outputs: list[Tensor] = []
        self.eval()

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        output = self._call(*args, **kwargs)
        if not isinstance(output, Tensor):
            raise _NotPlayedBackError("it returns no tensor")
        self.outputs.append(output.detach().cpu())
        return output


class _Playing(nn.Module):
    """Returns what was recorded, of shape (B, k, ...), call by call."""

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._left = list(outputs)
        self.eval()

    def forward(self, *args: object, **kwargs: object) -> Tensor:
        output = self._left.pop(0)
        return output.reshape(-1, *output.shape[2:])


# ---------------------------------------------------------------------- by the labels


def _with_labels_permuted(
    model: TrialModel, examples: Columns, metric: str, rng: np.random.Generator, reason: str
) -> Scored:
    label, num = model.workload.label_column, len(next(iter(examples.values())))

    def value(given: Mapping[str, npt.NDArray[np.generic]]) -> float:
        total = 0.0
        for first in range(0, num, BATCH_SIZE):
            batch = _batch(given, np.arange(first, min(first + BATCH_SIZE, num)), model)
            total += float(model.metrics(batch)[metric].double().sum())
        return total / num

    as_they_are = value(examples)
    if label not in examples:
        why = (
            f"what the model says cannot be permuted ({reason}), and there is no column {label!r} of labels that could"
        )
        return Scored(metric, as_they_are, (), why, None, num)
    permuted = tuple(value({**examples, label: examples[label][rng.permutation(num)]}) for _ in range(NUM_PERMUTATIONS))
    return Scored(metric, as_they_are, permuted, "", None, num)


def _of_whole_set(model: TrialModel, examples: Columns, metric: str, rng: np.random.Generator) -> Scored:
    """Of a metric that is no mean over examples."""
    workload, num = model.workload, len(next(iter(examples.values())))
    parts: dict[str, list[npt.NDArray[np.generic]]] = {}
    for first in range(0, num, BATCH_SIZE):
        batch = _batch(examples, np.arange(first, min(first + BATCH_SIZE, num)), model)
        for name, said in model.predictions(batch).items():
            parts.setdefault(name, []).append(said.float().cpu().numpy() if said.is_floating_point() else said.numpy())
    predictions = {name: np.concatenate(of_name) for name, of_name in parts.items()}
    labels = examples[workload.label_column]

    def value(given: npt.NDArray[np.generic]) -> float:
        return float(workload.set_metrics(predictions, given).get(metric, math.nan))

    permuted = tuple(value(labels[rng.permutation(num)]) for _ in range(NUM_PERMUTATIONS))
    return Scored(metric, value(labels), permuted, "", None, num)


def _batch(examples: Mapping[str, npt.NDArray[np.generic]], rows: npt.NDArray[np.int64], model: TrialModel) -> Batch:
    device = model.group.device
    return {name: torch.from_numpy(np.array(column[rows])).to(device) for name, column in examples.items()}
