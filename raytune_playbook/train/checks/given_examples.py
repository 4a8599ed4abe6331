"""Whether a model can be trained on examples that hold NaN or infinities; asked before the first trial.

A loss may leave such numbers out, and its gradient hold them all the same, so both are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raytune_playbook.errors import DataError
from raytune_playbook.train.group import Group
from raytune_playbook.train.model import TrialModel, initial_model
from raytune_playbook.train.precision import mean_loss
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Columns


def require_finite_losses(run: TrialRun, suspects: Sequence[tuple[str, Columns]]) -> None:
    """Put each suspect into a training batch of a model that has not been trained yet.

    Args:
        suspects: a sentence that says what is wrong with an example, and its columns, of shape (1, ...).

    Raises:
        DataError: the loss or its gradient is not finite with one of them, and is without.
    """
    if not suspects:  # as all workers know, since all have the same
        return
    model = initial_model(run.workload, run.trial, run.values, run.group)
    batch = dict(next(run.data.training_batches(run.trial, first_batch=0)))
    finite = torch.stack([_rows(column).isfinite().all(1) for column in batch.values()]).all(0)
    rows = finite.nonzero().squeeze(1)
    if _on_any(not len(rows), run.group):
        return
    rows = rows[torch.arange(len(finite), device=rows.device) % len(rows)]
    batch = {name: column[rows] for name, column in batch.items()}
    if _on_any(_not_finite(model, batch) is not None, run.group):  # whatever that is, it is no fault of the examples
        return
    for what, columns in suspects:
        given = {name: torch.from_numpy(values).to(run.group.device) for name, values in columns.items()}
        with_suspect = {name: torch.cat([given[name], column[1:]]) for name, column in batch.items()}
        fault = _not_finite(model, with_suspect)
        if _on_any(fault is not None, run.group):
            raise DataError(
                f"Training needs finite numbers, but {what}, and with that example {fault or 'another worker fails'}; "
                "fill it or drop the example, in Workload.datasets or preprocess, or mask it in Workload.loss."
            )


def _on_any(is_so: bool, group: Group) -> bool:
    """Whether it is so on any worker: they go on together, or not at all."""
    return bool(group.sum_(torch.tensor([float(is_so)], device=group.device)).item())


def _rows(column: Tensor) -> Tensor:
    """A column of shape (batch, ...) as one of shape (batch, numbers)."""
    return column.reshape(len(column), math.prod(column.shape[1:]))


def _not_finite(model: TrialModel, batch: Mapping[str, Tensor]) -> str | None:
    """What of a training step is not; None where all is."""
    losses = model.loss(batch)
    if not losses.isfinite().all():
        return "the loss is not finite"
    trained = [parameter for parameter in model.module.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(mean_loss(losses), trained, allow_unused=True)
    if not all(gradient.isfinite().all() for gradient in gradients if gradient is not None):
        return "the gradient of the loss is not finite"
    return None
