"""Evaluation: every example counts exactly once, on any number of workers (rule EV3).

Means are sums over all workers in float64, class counts are whole numbers, and what is no mean is computed from the
predictions of all workers in the order of the data set. So none of them depends on how the examples are sharded.

Shapes: E this worker's examples, padding included; N the examples of all workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor

from raytune_playbook.analysis.class_counts import num_correct_column, num_examples_column
from raytune_playbook.analysis.evaluation_sample import NUM_EXAMPLES, standard_error_column
from raytune_playbook.errors import SpecError
from raytune_playbook.records.columns import SPLIT, STEP, MeasurementRow
from raytune_playbook.study.evaluation_settings import FULL_VALIDATION, ROW
from raytune_playbook.study.evaluation_settings import WEIGHT as WEIGHT
from raytune_playbook.train.checks.trainable import require_per_example
from raytune_playbook.train.group import Group, synchronized_buffers
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.workload import Batch, Columns, Workload

PREDICTED = "predicted."
"""How the columns of predictions are named in a table of examples."""

SavePredictions: TypeAlias = Callable[[int, Columns], None]
"""Takes a step and what `examine` found; called on every worker, of which one writes (rule MH1)."""


@torch.no_grad()
def evaluate(model: TrialModel, batches: Iterable[Batch], *, with_errors: bool = False) -> dict[str, float]:
    """What one evaluation reports of a split, the same on all workers.

    The mean of each of the workload's metrics over all examples, counts for each of its classes (rule EV6), and its
    metrics of the whole set (rule EV8).

    Args:
        batches: this worker's batches, as many and of the same shapes on all workers; the column `WEIGHT`, of shape
            (batch,), is 0 for padding, and `ROW`, which only a workload's predictions need, numbers the examples.
        with_errors: also report the number of examples and every mean's standard error (rule EV5).

    Raises:
        SpecError: a metric is not one value per example, or the predictions lack what the workload promises.
    """
    workload, group = model.workload, model.group
    needs_predictions = workload.needs_all_predictions()
    # All of it stays on the device until the end, so that nothing is fetched batch by batch.
    weights, metrics, examples = _Parts(), _Parts(), _Parts()
    with evaluation_mode(model):
        for batch in batches:
            weights.add({WEIGHT: batch[WEIGHT] > 0})
            metrics.add({name: value.double() for name, value in model.metrics(batch).items()})
            if needs_predictions:
                predicted = _named_predictions(model, batch)
                examples.add({ROW: batch[ROW], **_label(workload, batch), **predicted})
    real = weights.whole()[WEIGHT]
    report = _means(metrics.whole(), real, group, with_errors=with_errors)
    if workload.classes():
        report |= _class_counts(workload, examples.whole(), real, group)
    if workload.has_set_metrics():
        report |= _set_metrics(workload, in_order(examples.whole(), real, group), taken=set(report))
    return report


@torch.no_grad()
def examine(model: TrialModel, batches: Iterable[Batch]) -> Columns:
    """What the model makes of single examples, for a look at them offline (rule EV4); the same on all workers.

    Returns:
        Columns of shape (N, ...) in the order of the data set: ``row``, the label where there is one, the per-example
        metrics, and the predictions as ``predicted.<name>``.

    Raises:
        SpecError: a metric or prediction is not one value per example.
    """
    weights, examples = _Parts(), _Parts()
    with evaluation_mode(model):
        for batch in batches:
            weights.add({WEIGHT: batch[WEIGHT] > 0})
            label = {name: batch[name] for name in (model.workload.label_column,) if name in batch}
            examples.add({ROW: batch[ROW], **label, **model.metrics(batch), **_named_predictions(model, batch)})
    columns = dict(in_order(examples.whole(), weights.whole()[WEIGHT], model.group))
    return {"row": columns.pop(ROW), **columns}


def rescore(models: Iterable[tuple[int, TrialModel]], batches: Callable[[], Iterable[Batch]]) -> list[MeasurementRow]:
    """Score a trial's kept models on all validation examples, before one of them is selected (rule EV8).

    Args:
        models: (step, model), which may be loaded one after another; the same on all workers.
        batches: a function that gives this worker's batches of the split ``validation_full``.

    Returns:
        A measurement of that split for each step.
    """
    return [
        {STEP: step, SPLIT: FULL_VALIDATION, **evaluate(model, batches(), with_errors=True)} for step, model in models
    ]


@contextmanager
def evaluation_mode(model: TrialModel) -> Iterator[None]:
    """Within it the model evaluates, in its precision, with everybody's running averages (rule BN3); then as before.

    Parts of it that a workload holds in evaluation mode, such as a batch norm whose averages shall stay, are so again.
    """
    was_training = {module: module.training for module in model.module.modules()}
    model.module.eval()
    try:
        with synchronized_buffers(model.module, model.group), model.autocast():
            yield
    finally:
        model.module.train(was_training[model.module])
        for module, each in was_training.items():
            module.training = each


def in_order(columns: Mapping[str, Tensor], real: Tensor, group: Group) -> Columns:
    """All workers' examples in the order of their rows, padding dropped, bit for bit as they were.

    Args:
        columns: of shape (E, ...); `ROW` numbers the examples.
        real: of shape (E,), False for padding; E is the same on all workers.

    Raises:
        RuntimeError: an example was evaluated more than once.
    """
    kept = torch.cat(group.gather(real.to(torch.uint8))).bool()
    rows = torch.cat(group.gather(columns[ROW]))[kept]
    if len(rows.unique()) != len(rows):
        raise RuntimeError(f"every example is evaluated exactly once, but {len(rows)} rows are not all different")
    order = rows.argsort()
    found = {}
    for name, column in columns.items():
        # As bytes, for the sake of dtypes that a backend cannot send; numpy has no bfloat16.
        column = (column.float() if column.dtype == torch.bfloat16 else column).contiguous()
        parts = group.gather(column.reshape(-1).view(torch.uint8))
        whole = torch.cat([part.view(column.dtype).view(column.shape) for part in parts])
        found[name] = whole[kept][order].cpu().numpy()
    return found


# ---------------------------------------------------------------------- what is reported


class _Parts:
    """Tensors of shape (batch, ...) by name, batch after batch."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Tensor]] = {}

    def add(self, batch: Mapping[str, Tensor]) -> None:
        for name, column in batch.items():
            self._parts.setdefault(name, []).append(column)

    def whole(self) -> dict[str, Tensor]:
        return {name: torch.cat(parts) for name, parts in self._parts.items()}


def _means(metrics: Mapping[str, Tensor], real: Tensor, group: Group, *, with_errors: bool) -> dict[str, float]:
    # Padding is masked rather than multiplied by zero, since its metric may be infinite.
    sums = [torch.where(real, value, 0.0).sum() for value in metrics.values()]
    packed = group.sum_(torch.stack([real.sum().double(), *sums]))
    num, means = packed[0], packed[1:] / packed[0]
    report = dict(zip(metrics, means.tolist(), strict=True))
    if with_errors:
        # Around the mean of all workers, since E[x^2] - E[x]^2 would cancel.
        squares = [
            torch.where(real, (v - mean) ** 2, 0.0).sum() for v, mean in zip(metrics.values(), means, strict=True)
        ]
        errors = (group.sum_(torch.stack([num.new_zeros(()), *squares]))[1:] / (num - 1) / num).sqrt()
        report |= dict(zip(map(standard_error_column, metrics), errors.tolist(), strict=True))
        report[NUM_EXAMPLES] = float(num)
    return report


def _class_counts(workload: Workload, columns: Mapping[str, Tensor], real: Tensor, group: Group) -> dict[str, float]:
    classes, name = workload.classes(), workload.label_column
    if PREDICTED + name not in columns:
        raise SpecError(
            f"Workload.predictions must hold the predicted {name!r} where there are classes, but has "
            f"{sorted(c.removeprefix(PREDICTED) for c in columns if c.startswith(PREDICTED))}; add it."
        )
    labels, predicted = columns[name], columns[PREDICTED + name]
    require_per_example(f"Workload.predictions: {name}", predicted, len(real))
    # (E, num_classes)
    is_class = (labels[:, None] == torch.tensor(list(classes), device=labels.device)) & real[:, None]
    is_correct = is_class & (predicted == labels)[:, None]
    num, num_correct = group.sum_(torch.stack([is_class.sum(0), is_correct.sum(0)])).tolist()
    report: dict[str, float] = {}
    for i, label in enumerate(classes.values()):
        report |= {num_correct_column(label): num_correct[i], num_examples_column(label): num[i]}
    return report


def _set_metrics(workload: Workload, columns: Columns, taken: set[str]) -> dict[str, float]:
    predictions = {name.removeprefix(PREDICTED): c for name, c in columns.items() if name.startswith(PREDICTED)}
    found = workload.set_metrics(predictions, columns[workload.label_column])
    if clashing := sorted(taken & set(found)):
        raise SpecError(
            f"Workload.set_metrics must be named apart from Workload.metrics, but both have {clashing[0]!r}; "
            "rename one of them."
        )
    return {name: float(value) for name, value in found.items()}


def _named_predictions(model: TrialModel, batch: Batch) -> dict[str, Tensor]:
    return {PREDICTED + name: value for name, value in model.predictions(batch).items()}


def _label(workload: Workload, batch: Batch) -> dict[str, Tensor]:
    name = workload.label_column
    if name not in batch:
        raise SpecError(
            f"Workload.label_column must be a column of the examples, but {name!r} is not among "
            f"{sorted(set(batch) - {WEIGHT, ROW})}; name the one that holds the labels."
        )
    if batch[name].dim() != 1:
        raise SpecError(
            f"Workload.label_column must hold one label per example, but {name!r} has shape "
            f"{tuple(batch[name].shape)}; name a column of shape (num_examples,)."
        )
    return {name: batch[name]}
