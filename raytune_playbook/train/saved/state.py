"""What a checkpoint keeps of an object that changes as training goes on: named tensors and numbers, flat.

Flat and plain, so that ``torch.load(weights_only=True)`` reads it and a person can look at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

State: TypeAlias = dict[str, Tensor | int | float]
"""Tensors and numbers by name."""


def snapshot(tensors: Mapping[str, Tensor]) -> State:
    """Copies that training leaves alone, on the devices of the tensors."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def restore_(what: str, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor | int | float]) -> None:
    """Copy a snapshot back into the same tensors, which keep their device and dtype; numbers are the caller's.

    Raises:
        ValueError: the snapshot was taken of other tensors; nothing was copied.
    """
    saved = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    given = {name: tuple(tensor.shape) for name, tensor in saved.items()}
    expected = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if given != expected:
        differing = sorted(name for name in given | expected if given.get(name) != expected.get(name))
        raise ValueError(
            f"the state of {what} must be that of the same model and hyperparameters, but it differs in "
            f"{', '.join(differing[:3])}{', ...' if len(differing) > 3 else ''}; load the one that was saved with them"
        )
    for name, tensor in tensors.items():
        tensor.copy_(saved[name])
