"""The optimizers against the playbook's equations in numpy (rules ST2, ST3 and ST4)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.kinds import OPTIMIZERS
from raytune_playbook.train.optimizers import optimizer
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Values

Array = npt.NDArray[np.float64]

SHAPES = [(3, 4), (5,), ()]
RATES = [0.1, 0.1, 0.3, 0.02, 0.0, 0.5, 0.1, 1.0]


def sgd(theta: Array, eta: Iterator[float], grads: Iterator[Array], decay: float, **_: float) -> Iterator[Array]:
    for rate, g in zip(eta, grads, strict=True):
        theta = theta - rate * (g + decay * theta)
        yield theta


def momentum(
    theta: Array, eta: Iterator[float], grads: Iterator[Array], decay: float, gamma: float, **_: float
) -> Iterator[Array]:
    v = np.zeros_like(theta)
    for rate, g in zip(eta, grads, strict=True):
        v = gamma * v + (g + decay * theta)
        theta = theta - rate * v
        yield theta


def nesterov(
    theta: Array, eta: Iterator[float], grads: Iterator[Array], decay: float, gamma: float, **_: float
) -> Iterator[Array]:
    v = np.zeros_like(theta)
    for rate, g in zip(eta, grads, strict=True):
        decayed = g + decay * theta
        v = gamma * v + decayed
        theta = theta - rate * (gamma * v + decayed)
        yield theta


def adam(
    theta: Array,
    eta: Iterator[float],
    grads: Iterator[Array],
    decay: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    **_: float,
) -> Iterator[Array]:
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, (rate, g) in enumerate(zip(eta, grads, strict=True)):
        decayed = g + decay * theta
        m = beta1 * m + (1 - beta1) * decayed
        v = beta2 * v + (1 - beta2) * decayed**2
        b = math.sqrt(1 - beta2 ** (t + 1)) / (1 - beta1 ** (t + 1))
        theta = theta - rate * m / (np.sqrt(v) + epsilon) * b
        yield theta


EQUATIONS = {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adam": adam}

SETTINGS = [
    {"momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0},
    {"momentum": 0.5, "beta1": 0.3, "beta2": 0.8, "epsilon": 1.0, "weight_decay": 0.0},
    {"momentum": 0.99, "beta1": 0.0, "beta2": 0.9, "epsilon": 1e-3, "weight_decay": 0.03},
    {"momentum": 0.0, "beta1": 0.95, "beta2": 0.0, "epsilon": 10.0, "weight_decay": 0.5},
]


class Model(nn.Module):
    """Three parameters in float64, and one that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        self.params = nn.ParameterList([nn.Parameter(torch.from_numpy(np.array(rng.normal(size=s)))) for s in SHAPES])
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)


def run(kind: str, **settings: float) -> list[list[Array]]:
    """The parameters after each step, beside the gradients that were given: shape (step, parameter)."""
    model = Model()
    rule = optimizer(model, Values(TRAINING_DEFAULTS | {"optimizer": kind} | settings))
    found = []
    for rate, step_grads in zip(RATES, gradients(), strict=True):
        for parameter, grad in zip(model.params, step_grads, strict=True):
            parameter.grad = torch.from_numpy(np.array(grad))
        rule.update(rate)
        found.append([parameter.detach().numpy().copy() for parameter in model.params])
    assert torch.equal(model.frozen, torch.ones(2))
    return found


def gradients() -> list[list[Array]]:
    rng = np.random.default_rng(1)
    return [[rng.normal(size=shape) * 10.0 ** rng.integers(-4, 3) for shape in SHAPES] for _ in RATES]


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_st4_update_rules_are_the_playbooks_equations(kind, settings):
    found = run(kind, **settings)
    given = {"decay": settings["weight_decay"], "gamma": settings["momentum"]} | settings
    for i, start in enumerate(Model().params):
        grads = [step_grads[i] for step_grads in gradients()]
        expected = EQUATIONS[kind](start.detach().numpy(), iter(RATES), iter(grads), **given)
        for step, theta in enumerate(expected):
            np.testing.assert_allclose(found[step][i], theta, rtol=1e-12, atol=1e-13, err_msg=f"step {step}")


def test_st2_every_optimizer_of_the_list_has_equations_here():
    assert EQUATIONS.keys() == OPTIMIZERS.keys()


def test_st4_adams_epsilon_is_not_bias_corrected_unlike_pytorchs():
    settings = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-2}
    ours = run("adam", **settings)
    model = Model()
    theirs = torch.optim.Adam(model.params, lr=0.1, betas=(0.9, 0.999), eps=1e-2)
    for parameter, grad in zip(model.params, gradients()[0], strict=True):
        parameter.grad = torch.from_numpy(np.array(grad))
    theirs.step()
    gap = max(np.abs(a - b.detach().numpy()).max() for a, b in zip(ours[0], model.params, strict=True))
    assert gap > 1e-3


def test_st4_without_momentum_all_three_are_plain_sgd():
    plain = run("sgd", weight_decay=0.1)
    for kind in ("momentum", "nesterov"):
        for a, b in zip(run(kind, momentum=0.0, weight_decay=0.1), plain, strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_st3_the_defaults_are_a_simple_optimizer():
    assert TRAINING_DEFAULTS["optimizer"] in ("momentum", "adam")
    assert run(str(TRAINING_DEFAULTS["optimizer"]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": "adamw"}, "optimizer must be one of sgd, momentum, nesterov, adam, but got 'adamw'"),
        ({"optimizer": None}, "optimizer must be one of"),
        ({"momentum": "0.9"}, "momentum must be a number, but got '0.9'"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, but got 1; correct it"),
        ({"momentum": -0.1}, "momentum must be at least 0 and below 1"),
        ({"weight_decay": -1e-4}, "weight_decay must be at least 0"),
        ({"weight_decay": None}, "weight_decay must be a number"),
        ({"optimizer": "adam", "beta1": 1.0}, "beta1 must be at least 0 and below 1"),
        ({"optimizer": "adam", "beta2": 1.0}, "beta2 must be at least 0 and below 1"),
        ({"optimizer": "adam", "beta2": True}, "beta2 must be a number"),
        ({"optimizer": "adam", "epsilon": -1e-8}, "epsilon must be at least 0"),
        ({"optimizer": "adam", "epsilon": math.nan}, "epsilon must be at least 0"),
    ],
)
def test_bad_values_are_one_sentence(values, words):
    with pytest.raises(SpecError, match=words):
        optimizer(Model(), Values(TRAINING_DEFAULTS | values))
