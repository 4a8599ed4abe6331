"""Choices that the bundled models share: activation, normalization, and the order and start of residual branches.

Playbook: "Choosing the model architecture" (families to tune over) and "How can optimization failures be debugged and
mitigated?", whose advice on models (rule UN9) is to normalize last before the residual, x + Norm(f(x)); its later
edition gives x + f(Norm(x)); and to try initializing residual branches to zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from raytune_playbook.errors import SpecError
from raytune_playbook.train.workload import Values

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}

RESIDUAL_ORDERS = ("norm_last", "norm_first")
"""x + Norm(f(x)) and x + f(Norm(x))."""


def flag(values: Values, name: str) -> bool:
    """The value as true or false."""
    value = values[name]
    if not isinstance(value, bool):
        raise SpecError(f"{name} must be True or False, but got {value!r}; give one of them.")
    return value


def activation(values: Values) -> nn.Module:
    """The model's nonlinearity, of hyperparameter ``activation``."""
    return ACTIVATIONS[values.choice("activation", ACTIVATIONS)]()


_IMAGE_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "layer": lambda width: nn.GroupNorm(1, width),
}
_FEATURE_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


def image_norm(normalization: str, width: int) -> nn.Module:
    """Normalization of images (batch, width, height, width): none, batch or layer (rule BN5).

    Layer norm is over an image's channels and pixels, with a weight and bias per channel.
    """
    return _IMAGE_NORMS[normalization](width)


def feature_norm(normalization: str, width: int) -> nn.Module:
    """Normalization of features (batch, ..., width), for batch norm (batch, width): none, batch or layer (rule BN5)."""
    return _FEATURE_NORMS[normalization](width)


def zero_(branch: Iterable[nn.Module]) -> None:
    """Let a residual branch start as the function 0, by the weight and bias of its last layer that has some."""
    last = [layer for layer in branch if any(True for _ in layer.parameters(recurse=False))][-1]
    for parameter in last.parameters(recurse=False):
        nn.init.zeros_(parameter)
