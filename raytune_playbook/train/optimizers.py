"""The optimizers, by the playbook's update rules (its last FAQ, rule ST4).

SGD, momentum and Nesterov momentum are PyTorch's own, which follow the same equations. Adam is ours: in the playbook's
equations epsilon is not bias-corrected. Weight decay is coupled everywhere: it is added to the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.kinds import OPTIMIZERS
from raytune_playbook.train.workload import Values


class Optimizer(Protocol):
    """What the loop needs of an optimizer."""

    def update(self, learning_rate: float) -> None:
        """One step with the gradients as they stand."""


class _Momentum:
    """v <- gamma v + g;  theta <- theta - eta v, or Nesterov's  theta <- theta - eta (gamma v + g)."""

    def __init__(self, params: Iterable[nn.Parameter], *, gamma: float, nesterov: bool, weight_decay: float) -> None:
        self._sgd = torch.optim.SGD(
            params, lr=0.0, momentum=gamma, nesterov=nesterov, weight_decay=weight_decay, foreach=True
        )

    def update(self, learning_rate: float) -> None:
        for group in self._sgd.param_groups:
            group["lr"] = learning_rate
        self._sgd.step()


class _Adam:
    """theta <- theta - eta b m / (sqrt(v) + epsilon),  b = sqrt(1 - beta2^t) / (1 - beta1^t)."""

    def __init__(
        self, params: Iterable[nn.Parameter], *, beta1: float, beta2: float, epsilon: float, weight_decay: float
    ) -> None:
        self._params: list[Tensor] = list(params)
        self._beta1, self._beta2, self._epsilon, self._weight_decay = beta1, beta2, epsilon, weight_decay
        self._m = [torch.zeros_like(parameter) for parameter in self._params]
        self._v = [torch.zeros_like(parameter) for parameter in self._params]
        self._t = 0

    @torch.no_grad()
    def update(self, learning_rate: float) -> None:
        grads: list[Tensor] = [p.grad for p in self._params if p.grad is not None]
        if self._weight_decay:
            grads = list(torch._foreach_add(grads, self._params, alpha=self._weight_decay))
        self._t += 1
        torch._foreach_lerp_(self._m, grads, 1 - self._beta1)
        torch._foreach_mul_(self._v, self._beta2)
        torch._foreach_addcmul_(self._v, grads, grads, 1 - self._beta2)
        correction = math.sqrt(1 - self._beta2**self._t) / (1 - self._beta1**self._t)
        denominators = torch._foreach_sqrt(self._v)
        torch._foreach_add_(denominators, self._epsilon)
        torch._foreach_addcdiv_(self._params, self._m, denominators, -learning_rate * correction)


def optimizer(model: nn.Module, values: Values) -> Optimizer:
    """The optimizer that ``values`` ask for, over the model's trainable parameters.

    Raises:
        SpecError: an unknown optimizer, or a hyperparameter that is not a number or out of its range.
    """
    params = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weight_decay = _in_range(values, "weight_decay", math.inf)
    kind = values.choice("optimizer", OPTIMIZERS)
    if kind == "adam":
        beta1, beta2 = _in_range(values, "beta1", 1.0), _in_range(values, "beta2", 1.0)
        epsilon = _in_range(values, "epsilon", math.inf)
        return _Adam(params, beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=weight_decay)
    gamma = 0.0 if kind == "sgd" else _in_range(values, "momentum", 1.0)
    return _Momentum(params, gamma=gamma, nesterov=kind == "nesterov" and gamma > 0, weight_decay=weight_decay)


def _in_range(values: Values, name: str, end: float) -> float:
    """The value, checked to be in [0, end)."""
    value = values.float(name)
    if not 0 <= value < end:
        raise SpecError(f"{name} must be at least 0 and below {end:g}, but got {value:g}; correct it.")
    return value
