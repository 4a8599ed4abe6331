"""The optimizers, by the playbook's update rules (its last FAQ, rules ST2 and ST4).

theta are the parameters, g their gradient and eta the learning rate of a step; t counts the steps from 0.

- ``sgd``       theta <- theta - eta g
- ``momentum``  v <- gamma v + g;  theta <- theta - eta v
- ``nesterov``  v <- gamma v + g;  theta <- theta - eta (gamma v + g)
- ``rmsprop``   v <- rho v + (1 - rho) g^2;  m <- gamma m + eta g / sqrt(v + epsilon);  theta <- theta - m;  v starts
  at 1
- ``adam``      m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
  theta <- theta - eta b m / (sqrt(v) + epsilon)  with  b = sqrt(1 - beta2^(t+1)) / (1 - beta1^(t+1))
- ``nadam``     like adam with  beta1 m + (1 - beta1) g  in the place of the last m

gamma is the hyperparameter ``momentum``. torch.optim differs, and stays available under names of its own:

- ``torch_rmsprop`` starts v at 0, adds epsilon outside the root, and multiplies by eta outside the momentum buffer, so
  that a change of eta acts on past gradients too.
- ``torch_adam`` and ``torch_adamw`` divide v by 1 - beta2^(t+1) before epsilon is added: one epsilon means another
  thing there in early steps.
- ``torch_nadam`` does so too; its beta1 in the last line grows from beta1 / 2 with ``momentum_decay`` (and stays at
  beta1 / 2 if that is 0), and m and g are bias-corrected by products of these, m by that of the step to come.

torch's SGD follows the same equations and needs no other name.

Weight decay of strength lambda is ``coupled``, g <- g + lambda theta before all else, or ``decoupled``,
theta <- (1 - eta lambda) theta before the step (Loshchilov and Hutter 2019, scaled by the learning rate), which moments
and momentum do not see. ``torch_adamw`` is ``torch_adam`` with decoupled decay, whatever ``weight_decay_kind`` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.hyperparameters.known import OPTIMIZERS
from raytune_playbook.train.saved.state import State, restore_, snapshot
from raytune_playbook.train.workload import Values

WEIGHT_DECAYS: dict[str, Callable[[float], tuple[float, float]]] = {
    "coupled": lambda strength: (strength, 0.0),
    "decoupled": lambda strength: (0.0, strength),
}
"""What is added to the gradient, and what is taken from the weights."""

Slots: TypeAlias = Mapping[str, list[Tensor]]
"""What an update rule remembers between steps: for each of its letters, one tensor per parameter."""


class Optimizer(Protocol):
    """What the loop needs of an optimizer."""

    def update(self, learning_rate: float) -> None:
        """One step with the gradients as they stand; they are left as they are."""

    def state_dict(self) -> State:
        """All that later steps depend on beside parameters and gradients; copies."""

    def load_state_dict(self, state: Mapping[str, Tensor | int | float]) -> None:
        """Go on from a saved state, bit for bit.

        Raises:
            ValueError: it is the state of another model or optimizer.
        """


def optimizer(model: nn.Module, values: Values) -> Optimizer:
    """The optimizer that ``values`` ask for, over the model's trainable parameters.

    A hyperparameter that the chosen optimizer does not use is not looked at.

    Raises:
        SpecError: an unknown optimizer, or a hyperparameter of a wrong type or out of its range.
    """
    chosen = values.choice("optimizer", OPTIMIZERS)
    params = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    strength = 0.0 if values["weight_decay"] is None else _in_range(values, "weight_decay", math.inf)
    of_decay = values if strength else values.unused()
    kind = "decoupled" if chosen == "torch_adamw" else of_decay.choice("weight_decay_kind", WEIGHT_DECAYS)
    coupled_decay, decoupled_decay = WEIGHT_DECAYS[kind](strength)
    if chosen in _TORCHS:
        return _TorchForm(params, _TORCHS[chosen](list(params.values()), values, coupled_decay), decoupled_decay)
    return _ByEquation(params, _RULES[chosen](values), coupled_decay, decoupled_decay)


# ---------------------------------------------------------------------- the playbook's equations


class _Rule(Protocol):
    """One update rule: hyperparameters, and no memory of its own."""

    start: ClassVar[Mapping[str, float]]
    """What each of its slots holds before the first step."""

    def step(self, theta: list[Tensor], g: list[Tensor], slots: Slots, eta: float, t: int) -> None:
        """Change theta and the slots in place; leave g alone."""


@dataclass(frozen=True)
class _SGD:
    start: ClassVar[Mapping[str, float]] = {}

    def step(self, theta: list[Tensor], g: list[Tensor], slots: Slots, eta: float, t: int) -> None:
        torch._foreach_add_(theta, g, alpha=-eta)


@dataclass(frozen=True)
class _Momentum:
    gamma: float
    nesterov: bool
    start: ClassVar[Mapping[str, float]] = {"v": 0.0}

    def step(self, theta: list[Tensor], g: list[Tensor], slots: Slots, eta: float, t: int) -> None:
        v = slots["v"]
        torch._foreach_mul_(v, self.gamma)
        torch._foreach_add_(v, g)
        change = torch._foreach_add(g, v, alpha=self.gamma) if self.nesterov else v
        torch._foreach_add_(theta, change, alpha=-eta)


@dataclass(frozen=True)
class _RMSProp:
    rho: float
    gamma: float
    epsilon: float
    start: ClassVar[Mapping[str, float]] = {"v": 1.0, "m": 0.0}

    def step(self, theta: list[Tensor], g: list[Tensor], slots: Slots, eta: float, t: int) -> None:
        v, m = slots["v"], slots["m"]
        torch._foreach_mul_(v, self.rho)
        torch._foreach_addcmul_(v, g, g, 1 - self.rho)
        roots = torch._foreach_add(v, self.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_mul_(m, self.gamma)
        torch._foreach_addcdiv_(m, g, roots, eta)
        torch._foreach_sub_(theta, m)


@dataclass(frozen=True)
class _Adam:
    """Adam and NAdam, which differ in the numerator alone."""

    beta1: float
    beta2: float
    epsilon: float
    nesterov: bool
    start: ClassVar[Mapping[str, float]] = {"m": 0.0, "v": 0.0}

    def step(self, theta: list[Tensor], g: list[Tensor], slots: Slots, eta: float, t: int) -> None:
        m, v = slots["m"], slots["v"]
        torch._foreach_lerp_(m, g, 1 - self.beta1)
        torch._foreach_mul_(v, self.beta2)
        torch._foreach_addcmul_(v, g, g, 1 - self.beta2)
        b = math.sqrt(1 - self.beta2 ** (t + 1)) / (1 - self.beta1 ** (t + 1))
        numerators = torch._foreach_lerp(g, m, self.beta1) if self.nesterov else m
        denominators = torch._foreach_sqrt(v)
        torch._foreach_add_(denominators, self.epsilon)
        torch._foreach_addcdiv_(theta, numerators, denominators, -eta * b)


_RULES: dict[str, Callable[[Values], _Rule]] = {
    "sgd": lambda values: _SGD(),
    "momentum": lambda values: _Momentum(_in_range(values, "momentum", 1.0), nesterov=False),
    "nesterov": lambda values: _Momentum(_in_range(values, "momentum", 1.0), nesterov=True),
    "rmsprop": lambda values: _RMSProp(*_rmsprops(values)),
    "adam": lambda values: _Adam(*_adams(values), nesterov=False),
    "nadam": lambda values: _Adam(*_adams(values), nesterov=True),
}


class _ByEquation:
    """Runs an update rule over all parameters at once, and keeps its slots."""

    def __init__(
        self, params: Mapping[str, nn.Parameter], rule: _Rule, coupled_decay: float, decoupled_decay: float
    ) -> None:
        self._params: dict[str, Tensor] = dict(params)
        self._rule = rule
        self._coupled_decay, self._decoupled_decay = coupled_decay, decoupled_decay
        self._slots = {
            letter: [torch.full_like(parameter, value) for parameter in params.values()]
            for letter, value in rule.start.items()
        }
        self._t = 0

    @torch.no_grad()
    def update(self, learning_rate: float) -> None:
        theta = list(self._params.values())
        g = [_gradient(name, parameter) for name, parameter in self._params.items()]
        if self._coupled_decay:
            g = list(torch._foreach_add(g, theta, alpha=self._coupled_decay))
        if self._decoupled_decay:
            torch._foreach_mul_(theta, 1 - learning_rate * self._decoupled_decay)
        self._rule.step(theta, g, self._slots, learning_rate, self._t)
        self._t += 1

    def state_dict(self) -> State:
        return snapshot(self._named_slots()) | {"num_updates": self._t}

    def load_state_dict(self, state: Mapping[str, Tensor | int | float]) -> None:
        restore_("the optimizer", self._named_slots(), state)
        self._t = int(state["num_updates"])

    def _named_slots(self) -> dict[str, Tensor]:
        return {
            f"{letter}.{name}": tensor
            for letter, tensors in self._slots.items()
            for name, tensor in zip(self._params, tensors, strict=True)
        }


def _gradient(name: str, parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise RuntimeError(f"every trainable parameter needs a gradient, but {name} has none; see FlatGradients")
    return parameter.grad


# ---------------------------------------------------------------------- torch's own forms


def _torch_rmsprop(params: list[nn.Parameter], values: Values, coupled_decay: float) -> torch.optim.Optimizer:
    rho, gamma, epsilon = _rmsprops(values)
    return torch.optim.RMSprop(
        params, 0.0, alpha=rho, momentum=gamma, eps=epsilon, weight_decay=coupled_decay, foreach=True
    )


def _torch_adam(params: list[nn.Parameter], values: Values, coupled_decay: float) -> torch.optim.Optimizer:
    beta1, beta2, epsilon = _adams(values)
    return torch.optim.Adam(params, 0.0, (beta1, beta2), epsilon, coupled_decay, foreach=True)


def _torch_nadam(params: list[nn.Parameter], values: Values, coupled_decay: float) -> torch.optim.Optimizer:
    beta1, beta2, epsilon = _adams(values)
    momentum_decay = _in_range(values, "momentum_decay", math.inf)
    return torch.optim.NAdam(
        params, 0.0, (beta1, beta2), epsilon, coupled_decay, momentum_decay=momentum_decay, foreach=True
    )


_TORCHS: dict[str, Callable[[list[nn.Parameter], Values, float], torch.optim.Optimizer]] = {
    "torch_rmsprop": _torch_rmsprop,
    "torch_adam": _torch_adam,
    "torch_adamw": _torch_adam,
    "torch_nadam": _torch_nadam,
}
"""Each with its learning rate to be set at every step."""


class _TorchForm:
    """Runs one of torch.optim; its slots are torch's, which appear with the first step."""

    NUMBERS = frozenset({"step", "mu_product"})
    """Slots that torch keeps as tensors on the CPU, whatever the parameters' device and dtype."""

    def __init__(
        self, params: Mapping[str, nn.Parameter], torchs: torch.optim.Optimizer, decoupled_decay: float
    ) -> None:
        self._params, self._torchs, self._decoupled_decay = dict(params), torchs, decoupled_decay

    @torch.no_grad()
    def update(self, learning_rate: float) -> None:
        if self._decoupled_decay:
            torch._foreach_mul_(list(self._params.values()), 1 - learning_rate * self._decoupled_decay)
        for group in self._torchs.param_groups:
            group["lr"] = learning_rate
        self._torchs.step()

    def state_dict(self) -> State:
        return snapshot(
            {
                f"{slot}.{name}": tensor
                for name, parameter in self._params.items()
                for slot, tensor in self._torchs.state.get(parameter, {}).items()
            }
        )

    def load_state_dict(self, state: Mapping[str, Tensor | int | float]) -> None:
        # Not by torch's own load_state_dict, which would cast NAdam's mu_product to the parameters' dtype and device:
        # later bits would differ, and every step would wait for the device.
        slots: dict[str, dict[str, Tensor]] = {name: {} for name in self._params}
        for key, saved in state.items():
            slot, _, name = key.partition(".")
            fits = name in slots and (slot in self.NUMBERS or _shape(saved) == _shape(self._params[name]))
            if not fits or not isinstance(saved, Tensor):
                raise ValueError(
                    f"the state of the optimizer must be that of the same model and hyperparameters, but it has {key}; "
                    "load the one that was saved with them"
                )
            like = saved.detach().cpu() if slot in self.NUMBERS else saved.detach().to(self._params[name])
            slots[name][slot] = like.clone()
        self._torchs.state.clear()
        for name, parameter in self._params.items():
            if slots[name]:
                self._torchs.state[parameter] = slots[name]


def _shape(value: Tensor | int | float) -> torch.Size | None:
    return value.shape if isinstance(value, Tensor) else None


# ---------------------------------------------------------------------- hyperparameters


def _rmsprops(values: Values) -> tuple[float, float, float]:
    """rho, gamma and epsilon."""
    return _in_range(values, "rho", 1.0), _in_range(values, "momentum", 1.0), _in_range(values, "epsilon", math.inf)


def _adams(values: Values) -> tuple[float, float, float]:
    """beta1, beta2 and epsilon."""
    return _in_range(values, "beta1", 1.0), _in_range(values, "beta2", 1.0), _in_range(values, "epsilon", math.inf)


def _in_range(values: Values, name: str, end: float) -> float:
    """The value, checked to be in [0, end)."""
    value = values.number(name)
    if not 0 <= value < end:
        raise SpecError(f"{name} must be at least 0 and below {end:g}, but got {value:g}; correct it.")
    return value
