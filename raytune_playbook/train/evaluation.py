"""Evaluation: every example counts exactly once, on any number of workers (rule EV3)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.train.batch_norm import synchronized_statistics
from raytune_playbook.train.group import Group
from raytune_playbook.train.workload import Batch, Values, Workload

WEIGHT = "_weight"
"""The column of an evaluation batch that is 1 for an example and 0 for padding."""


@torch.no_grad()
def evaluate(
    workload: Workload, model: nn.Module, batches: Iterable[Batch], values: Values, group: Group
) -> dict[str, float]:
    """Mean of each metric over all examples of all workers, in evaluation mode.

    Args:
        batches: this worker's batches; the column `WEIGHT`, of shape (batch,), is 0 for padding.

    Raises:
        SpecError: a metric is not one value per example.
    """
    sums: dict[str, Tensor] = {}
    count = torch.zeros((), dtype=torch.float64, device=group.device)
    was_training = model.training
    model.eval()
    try:
        with synchronized_statistics(model, group):
            for batch in batches:
                real = batch[WEIGHT] > 0
                count += real.sum()
                for name, value in workload.metrics(model, batch, values).items():
                    require_per_example(f"Workload.metrics: {name}", value, len(real))
                    # Padding is masked rather than multiplied by zero, since its metric may be infinite.
                    total = torch.where(real, value.double(), 0.0).sum()
                    sums[name] = sums[name] + total if name in sums else total
    finally:
        model.train(was_training)
    packed = group.sum_(torch.stack([count, *sums.values()]))
    return dict(zip(sums, (packed[1:] / packed[0]).tolist(), strict=True))


def require_per_example(what: str, value: Tensor, batch: int) -> None:
    """Check that a loss or metric has the shape (batch,).

    Raises:
        SpecError: it has another, such as the mean over the batch.
    """
    if value.shape != (batch,):
        raise SpecError(
            f"{what} must have one value per example, shape ({batch},), but has shape {tuple(value.shape)}; "
            "return it without averaging (reduction='none')."
        )
