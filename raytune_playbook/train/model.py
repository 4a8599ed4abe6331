"""A trial's model under its workload: what it costs, and what it says of a batch, in the precision of its trial.

Everything that passes a batch forward goes through here, so that one thing alone knows of autocast and of the shapes
that a workload must return.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.seeds import shared_seed
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.batch_norm import convert_batch_norm, has_batch_norm
from raytune_playbook.train.checks.trainable import require_metrics, require_per_example, require_trainable
from raytune_playbook.train.group import Group, require_equal
from raytune_playbook.train.precision import autocast
from raytune_playbook.train.workload import Batch, Values, Workload


@dataclass(frozen=True)
class TrialModel:
    """A model with what it takes to pass a batch forward; its methods check what the workload returns.

    Fields:
        module: the model itself, on the group's device.
    """

    workload: Workload
    module: nn.Module
    values: Values
    group: Group

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which this model computes; may be entered once around many batches."""
        return autocast(self.values, self.group.device)

    def loss(self, batch: Batch) -> Tensor:
        """One loss per example, of shape (batch,).

        Raises:
            SpecError: the workload returns another shape.
        """
        with self.autocast():
            losses = self.workload.loss(self.module, batch, self.values)
        require_per_example("Workload.loss", losses, num_examples(batch))
        return losses

    def metrics(self, batch: Batch) -> dict[str, Tensor]:
        """Each of the workload's metrics, of shape (batch,).

        Raises:
            SpecError: one has another shape.
        """
        with self.autocast():
            found = self.workload.metrics(self.module, batch, self.values)
        return require_metrics(found, num_examples(batch))

    def predictions(self, batch: Batch) -> dict[str, Tensor]:
        """What the model says of each example, of shape (batch, ...) each.

        Raises:
            SpecError: a prediction has not one entry per example.
        """
        with self.autocast():
            found = self.workload.predictions(self.module, batch, self.values)
        for name, value in found.items():
            require_examples(f"Workload.predictions: {name}", value, num_examples(batch))
        return dict(found)


def initial_model(workload: Workload, trial: TrialSpec, values: Values, group: Group) -> TrialModel:
    """The trial's model before its first step, the same on all workers (rule MH2), in training mode.

    Args:
        values: the trial's.

    Raises:
        RuntimeError: its workers make different ones.
        SpecError: a value breaks a rule.
    """
    group.seed_(shared_seed("initialization", trial))
    module = require_trainable(workload.model(values))
    of_layers = values if has_batch_norm(module) else values.unused()
    statistics = of_layers.text("batch_norm")
    ghost = {"virtual_batch_size": of_layers.integer("virtual_batch_size")} if statistics == "ghost" else {}
    module = convert_batch_norm(module, statistics=statistics, group=group, **ghost).to(group.device)
    require_equal("the initial model", [*module.parameters(), *module.buffers()], group)
    return TrialModel(workload, module.train(), values, group)


def num_examples(batch: Batch) -> int:
    """How many examples a worker's part of a batch has, padding included."""
    return len(next(iter(batch.values())))


def require_examples(what: str, value: Tensor, batch: int) -> None:
    """Check that a prediction has the shape (batch, ...).

    Raises:
        SpecError: it has another.
    """
    if value.dim() == 0 or len(value) != batch:
        raise SpecError(
            f"{what} must have one entry per example, shape ({batch}, ...), but has shape {tuple(value.shape)}; "
            "return what the model says of each example."
        )
