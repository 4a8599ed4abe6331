"""The numbers that a trial computes in, and whether its model is compiled: hyperparameters that a round fixes.

``precision``  ``float32``, or ``bfloat16``: torch's autocast, where matrix products and convolutions take bfloat16 and
               weights, gradients, statistics of batch norm, losses and the optimizer's state stay as they are
``compile``    whether `torch.compile` turns the model's forward and backward pass into fused code; it takes up to
               minutes before the first step, and needs a C++ compiler on CPU
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raytune_playbook.train.batch_norm import BatchNorm
from raytune_playbook.train.workload import Values

PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}
"""What autocast computes in; None for none of it."""


def autocast(values: Values, device: torch.device) -> torch.autocast:
    """The context in which the workload computes losses, metrics and predictions.

    Raises:
        SpecError: an unknown precision.
    """
    lower = PRECISIONS[values.choice("precision", PRECISIONS)]
    return torch.autocast(device.type, dtype=lower or torch.bfloat16, enabled=lower is not None)


def compile_(model: nn.Module, values: Values) -> None:
    """Compile the model in place, if ``values`` say so: its parameters keep their names, and checkpoints their form.

    Each shape of batch has code of its own. Code for any shape would be made when a second shape comes, which is
    elsewhere in a resumed trial, whose bits would then be others (rule CK2).

    Raises:
        SpecError: ``compile`` is neither true nor false.
    """
    if values.flag("compile"):
        for layer in model.modules():
            if isinstance(layer, BatchNorm):  # its collectives run as they are
                layer.over = torch.compiler.disable(layer.over)  # type: ignore[method-assign]
        # Not by Module.compile, which leaves torch's own modules, such as Sequential, as they are and says nothing.
        model.forward = torch.compile(model.forward, dynamic=False)


def mean_loss(per_example: Tensor) -> Tensor:
    """The mean of shape () of losses of shape (batch,), in float32 at least: bfloat16 has three digits."""
    return per_example.mean(dtype=torch.promote_types(per_example.dtype, torch.float32))
