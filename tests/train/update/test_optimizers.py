"""The optimizers against the playbook's equations in numpy (rules ST2, ST3 and ST4)."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.hyperparameters.known import ADAMS, OPTIMIZERS, SECONDARY, purpose_of
from raytune_playbook.train.update import optimizers
from raytune_playbook.train.update.optimizers import WEIGHT_DECAYS, Optimizer, optimizer
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Values

Array = npt.NDArray[np.float64]
Step = Callable[[Array, Array, float], Array]
"""From theta, g and eta to the next theta."""

SHAPES = [(3, 4), (5,), ()]
RATES = [0.1, 0.1, 0.3, 0.02, 0.0, 0.5, 0.1, 1.0] * 3
"""Changing all the time: equations that differ in where the learning rate stands are told apart."""


# ---------------------------------------------------------------------- the equations, term by term


def sgd(h: Mapping[str, float]) -> Step:
    return lambda theta, g, eta: theta - eta * g


def momentum(h: Mapping[str, float]) -> Step:
    v = np.float64(0)

    def step(theta: Array, g: Array, eta: float) -> Array:
        nonlocal v
        v = h["momentum"] * v + g
        return theta - eta * v

    return step


def nesterov(h: Mapping[str, float]) -> Step:
    v = np.float64(0)

    def step(theta: Array, g: Array, eta: float) -> Array:
        nonlocal v
        v = h["momentum"] * v + g
        return theta - eta * (h["momentum"] * v + g)

    return step


def rmsprop(h: Mapping[str, float]) -> Step:
    v, m = np.float64(1), np.float64(0)

    def step(theta: Array, g: Array, eta: float) -> Array:
        nonlocal v, m
        v = h["rho"] * v + (1 - h["rho"]) * g**2
        m = h["momentum"] * m + eta / np.sqrt(v + h["epsilon"]) * g
        return theta - m

    return step


def adam(h: Mapping[str, float], nesterov: bool = False) -> Step:
    m, v, t = np.float64(0), np.float64(0), 0
    beta1, beta2 = h["beta1"], h["beta2"]

    def step(theta: Array, g: Array, eta: float) -> Array:
        nonlocal m, v, t
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        b = math.sqrt(1 - beta2 ** (t + 1)) / (1 - beta1 ** (t + 1))
        t += 1
        top = beta1 * m + (1 - beta1) * g if nesterov else m
        return theta - eta * top / (np.sqrt(v) + h["epsilon"]) * b

    return step


def nadam(h: Mapping[str, float]) -> Step:
    return adam(h, nesterov=True)


EQUATIONS = {"sgd": sgd, "momentum": momentum, "nesterov": nesterov, "rmsprop": rmsprop, "adam": adam, "nadam": nadam}


def decayed(step: Step, strength: float, kind: str) -> Step:
    if kind == "coupled":
        return lambda theta, g, eta: step(theta, g + strength * theta, eta)
    return lambda theta, g, eta: step(theta, g, eta) - eta * strength * theta


SETTINGS = [
    {"momentum": 0.9, "rho": 0.9, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "momentum_decay": 4e-3},
    {"momentum": 0.5, "rho": 0.99, "beta1": 0.3, "beta2": 0.8, "epsilon": 1.0, "momentum_decay": 0.1},
    {"momentum": 0.99, "rho": 0.5, "beta1": 0.0, "beta2": 0.9, "epsilon": 1e-3, "momentum_decay": 0.0},
    {"momentum": 0.0, "rho": 0.0, "beta1": 0.95, "beta2": 0.0, "epsilon": 10.0, "momentum_decay": 1.0},
]
DECAYS = [(0.0, "coupled"), (0.03, "coupled"), (0.3, "decoupled")]


# ---------------------------------------------------------------------- running ours and torch's


class Model(nn.Module):
    """Three parameters, and one that is not trained."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        rng = np.random.default_rng(0)
        starts = [torch.from_numpy(np.array(rng.normal(size=shape))).to(dtype) for shape in SHAPES]
        self.params = nn.ParameterList([nn.Parameter(start) for start in starts])
        self.frozen = nn.Parameter(torch.ones(2, dtype=dtype), requires_grad=False)


def gradients(scale: float = 1.0) -> list[list[Array]]:
    rng = np.random.default_rng(1)
    return [[rng.normal(size=shape) * 10.0 ** rng.integers(-4, 3) * scale for shape in SHAPES] for _ in RATES]


def walk(
    model: Model, update: Callable[[float], object], start: int = 0, end: int | None = None, scale: float = 1.0
) -> list[list[Array]]:
    """The parameters after each step from ``start`` to ``end``: shape (step, parameter)."""
    found = []
    for rate, step_grads in list(zip(RATES, gradients(scale), strict=True))[start:end]:
        given = [torch.from_numpy(np.array(grad)).to(model.frozen.dtype) for grad in step_grads]
        for parameter, grad in zip(model.params, given, strict=True):
            parameter.grad = grad.clone()
        update(rate)
        found.append([parameter.detach().numpy().copy() for parameter in model.params])
        if start == 0:
            assert all(torch.equal(p.grad, grad) for p, grad in zip(model.params, given, strict=True))
    assert torch.equal(model.frozen, torch.ones(2, dtype=model.frozen.dtype))
    return found


def make(model: Model, kind: str, **settings: object) -> Optimizer:
    return optimizer(model, Values(TRAINING_DEFAULTS | {"optimizer": kind} | settings))


def run(kind: str, scale: float = 1.0, **settings: object) -> list[list[Array]]:
    model = Model()
    return walk(model, make(model, kind, **settings).update, scale=scale)


def run_torchs(torchs: Callable[[nn.ParameterList], torch.optim.Optimizer], scale: float = 1.0) -> list[list[Array]]:
    model = Model()
    rule = torchs(model.params)

    def update(rate: float) -> None:
        rule.param_groups[0]["lr"] = rate
        rule.step()

    return walk(model, update, scale=scale)


def same(a: list[list[Array]], b: list[list[Array]]) -> bool:
    return all(np.array_equal(x, y) for xs, ys in zip(a, b, strict=True) for x, y in zip(xs, ys, strict=True))


# ---------------------------------------------------------------------- the tests


@pytest.mark.parametrize("decay", DECAYS, ids=str)
@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
@pytest.mark.parametrize("kind", EQUATIONS)
def test_st4_update_rules_are_the_playbooks_equations(kind, settings, decay):
    strength, decay_kind = decay
    found = run(kind, **settings, weight_decay=strength, weight_decay_kind=decay_kind)
    assert len(found) >= 20
    for i, start in enumerate(Model().params):
        theta, step = start.detach().numpy(), decayed(EQUATIONS[kind](settings), strength, decay_kind)
        for t, (rate, step_grads) in enumerate(zip(RATES, gradients(), strict=True)):
            theta = step(theta, step_grads[i], rate)
            np.testing.assert_allclose(found[t][i], theta, rtol=1e-12, atol=1e-12, err_msg=f"step {t}")


def test_st2_every_optimizer_is_either_an_equation_or_torchs():
    assert {kind for kind in OPTIMIZERS if not kind.startswith("torch_")} == EQUATIONS.keys()


@pytest.mark.parametrize("name", ["lion", "torch_lion"])
def test_st2_an_optimizer_that_nobody_has_written_is_no_other_one(name, monkeypatch):
    monkeypatch.setattr(optimizers, "OPTIMIZERS", (*OPTIMIZERS, name))
    with pytest.raises(KeyError, match=name):
        optimizer(nn.Linear(1, 1), Values(TRAINING_DEFAULTS | {"optimizer": name}))


def torchs_own(kind: str, h: Mapping[str, float], strength: float) -> Callable[..., torch.optim.Optimizer]:
    betas = (h["beta1"], h["beta2"])
    given = {"lr": 0.1, "eps": h["epsilon"], "weight_decay": strength, "foreach": True}
    return {
        "torch_rmsprop": lambda p: torch.optim.RMSprop(p, alpha=h["rho"], momentum=h["momentum"], **given),
        "torch_adam": lambda p: torch.optim.Adam(p, betas=betas, **given),
        "torch_adamw": lambda p: torch.optim.AdamW(p, betas=betas, **given),
        "torch_nadam": lambda p: torch.optim.NAdam(p, betas=betas, momentum_decay=h["momentum_decay"], **given),
    }[kind]


@pytest.mark.parametrize("strength", [0.0, 0.03])
@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind.startswith("torch_")])
def test_st4_torchs_forms_are_torch_optim_bit_for_bit(kind, settings, strength):
    assert same(run(kind, **settings, weight_decay=strength), run_torchs(torchs_own(kind, settings, strength)))


WITH_EPSILON = [kind for kind, names in OPTIMIZERS.items() if "epsilon" in names]
TINY = 1e-8
"""Gradients of this scale are divided by something that even a small epsilon decides."""


@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 1e-4])
@pytest.mark.parametrize("kind", WITH_EPSILON)
def test_st4_any_epsilon_is_taken_as_it_is_none_too(kind, epsilon):
    settings = {"momentum": 0.5, "rho": 0.0, "beta1": 0.5, "beta2": 0.5, "momentum_decay": 0.1, "epsilon": epsilon}
    found = run(kind, TINY, **settings)
    if kind not in EQUATIONS:
        assert same(found, run_torchs(torchs_own(kind, settings, 0.0), TINY))
        return
    for i, start in enumerate(Model().params):
        theta, step = start.detach().numpy(), EQUATIONS[kind](settings)
        for t, (rate, step_grads) in enumerate(zip(RATES, gradients(TINY), strict=True)):
            theta = step(theta, step_grads[i], rate)
            np.testing.assert_allclose(found[t][i], theta, rtol=1e-12, atol=1e-12, err_msg=f"step {t}")


@pytest.mark.parametrize("kind", WITH_EPSILON)
def test_st4_epsilons_make_a_difference_to_gradients_so_small(kind):
    """Or the test above would see none."""
    settings = {"momentum": 0.5, "rho": 0.0, "beta1": 0.5, "beta2": 0.5, "momentum_decay": 0.1}
    found = [run(kind, TINY, **settings, epsilon=epsilon)[-1][0] for epsilon in (0.0, 1e-12, 1e-8)]
    assert not np.allclose(found[0], found[1], rtol=1e-9, atol=0)
    assert not np.allclose(found[1], found[2], rtol=1e-9, atol=0)


@pytest.mark.parametrize("nesterov", [False, True])
def test_st4_torchs_sgd_follows_the_equations_and_needs_no_other_name(nesterov):
    ours = run("nesterov" if nesterov else "momentum", momentum=0.9, weight_decay=0.01)
    assert same(
        ours, run_torchs(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01))
    )


def test_st4_decoupled_decay_makes_torchs_adam_its_adamw():
    adamw = run("torch_adamw", weight_decay=0.1)
    assert same(run("torch_adam", weight_decay=0.1, weight_decay_kind="decoupled"), adamw)
    assert same(run("torch_adamw", weight_decay=0.1, weight_decay_kind="decoupled"), adamw)
    assert not same(run("torch_adam", weight_decay=0.1), adamw)


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind.startswith("torch_")])
def test_st4_where_torch_differs_the_two_names_differ(kind):
    ours = kind.removeprefix("torch_").replace("adamw", "adam")
    assert not np.allclose(run(kind, epsilon=1e-2)[0][0], run(ours, epsilon=1e-2)[0][0], rtol=1e-3)


def test_st4_without_momentum_all_three_are_plain_sgd():
    plain = run("sgd", weight_decay=0.1)
    for kind in ("momentum", "nesterov"):
        assert same(run(kind, momentum=0.0, weight_decay=0.1), plain)


def test_st3_the_defaults_are_a_simple_optimizer():
    assert TRAINING_DEFAULTS["optimizer"] in ("momentum", "adam")
    assert run(str(TRAINING_DEFAULTS["optimizer"]))


NAMES = sorted({name for names in OPTIMIZERS.values() for name in names} - {"learning_rate"})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_st2_every_hyperparameter_that_is_listed_is_used_and_no_other_is_looked_at(kind, name):
    if name in OPTIMIZERS[kind]:
        assert not same(run(kind, **{name: 0.123}), run(kind))
    else:
        assert same(run(kind, **{name: "unused"}), run(kind))


def test_st3_kinds_know_every_optimizer_hyperparameter():
    assert all(names[0] == "learning_rate" for names in OPTIMIZERS.values())
    assert all(purpose_of(name) == "optimizer" and name in TRAINING_DEFAULTS for name in [*NAMES, "learning_rate"])
    assert {*NAMES} >= SECONDARY
    assert {kind for kind, names in OPTIMIZERS.items() if "beta1" in names} == ADAMS


@pytest.mark.parametrize("num_steps", [0, 1, 11])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_saved_and_loaded_optimizer_goes_on_bit_for_bit(kind, dtype, num_steps):
    """Through a file of plain tensors and numbers, and into an optimizer that has gone another way."""
    settings = {"weight_decay": 0.01, "weight_decay_kind": "decoupled", "momentum_decay": 0.1}
    model = Model(dtype)
    rule = make(model, kind, **settings)
    walk(model, rule.update, end=num_steps)
    state, weights = rule.state_dict(), {name: value.clone() for name, value in model.state_dict().items()}
    uninterrupted = walk(model, rule.update, start=num_steps)

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    other = Model(dtype)
    rule = make(other, kind, **settings)
    walk(other, rule.update, end=5)
    other.load_state_dict(weights)
    rule.load_state_dict(torch.load(file, weights_only=True))
    assert same(walk(other, rule.update, start=num_steps), uninterrupted)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_loading_keeps_the_parameters_dtype(kind):
    model = Model()
    rule = make(model, kind)
    walk(model, rule.update, end=3)
    single = Model(torch.float32)
    loaded = make(single, kind)
    loaded.load_state_dict(rule.state_dict())
    state = loaded.state_dict()
    assert state.keys() == rule.state_dict().keys()
    numbers = ("num_updates", "step.", "mu_product.")
    assert {v.dtype for k, v in state.items() if not k.startswith(numbers)} <= {torch.float32}


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind != "sgd"])
@pytest.mark.parametrize("shapes", [[(3, 4), (5,)], [(3, 4), (6,), ()]])
def test_the_state_of_another_model_is_refused(kind, shapes):
    model = Model()
    rule = make(model, kind)
    walk(model, rule.update, end=1)
    other = nn.Module()
    other.params = nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in shapes])
    with pytest.raises(ValueError, match="must be that of the same model and hyperparameters, but it"):
        make(other, kind).load_state_dict(rule.state_dict())


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("decay_kind", WEIGHT_DECAYS)
def test_no_update_waits_for_the_device(kind, decay_kind):
    """A meta tensor has no numbers: to fetch one raises."""
    model = Model(torch.float32).to("meta")
    rule = make(model, kind, weight_decay=0.1, weight_decay_kind=decay_kind)
    for _ in range(3):
        for parameter in model.params:
            parameter.grad = torch.empty_like(parameter)
        rule.update(0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_gpu_updates_do_not_wait_and_a_state_from_the_cpu_comes_to_the_parameters(kind):
    on_cpu = Model()
    rule = make(on_cpu, kind)
    walk(on_cpu, rule.update, end=3)
    model = Model().cuda()
    model.load_state_dict(on_cpu.state_dict())
    loaded = make(model, kind)
    loaded.load_state_dict(rule.state_dict())
    for parameter, grad in zip(model.params, gradients()[3], strict=True):
        parameter.grad = torch.from_numpy(np.array(grad)).cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loaded.update(RATES[3])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    (expected,) = walk(on_cpu, rule.update, start=3, end=4)
    for parameter, theta in zip(model.params, expected, strict=True):
        np.testing.assert_allclose(parameter.detach().cpu().numpy(), theta, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": "adamw"}, "optimizer must be one of sgd, momentum, nesterov, rmsprop, adam, .* got 'adamw'"),
        ({"optimizer": None}, "optimizer must be one of"),
        ({"momentum": "0.9"}, "momentum must be a number, but got '0.9'"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, but got 1; correct it"),
        ({"momentum": -0.1}, "momentum must be at least 0 and below 1"),
        ({"weight_decay": -1e-4}, "weight_decay must be at least 0"),
        ({"weight_decay": "none"}, "weight_decay must be a number"),
        ({"weight_decay_kind": "l2"}, "weight_decay_kind must be one of coupled, decoupled, but got 'l2'"),
        ({"optimizer": "adam", "beta1": 1.0}, "beta1 must be at least 0 and below 1"),
        ({"optimizer": "nadam", "beta2": 1.0}, "beta2 must be at least 0 and below 1"),
        ({"optimizer": "torch_adam", "beta2": True}, "beta2 must be a number"),
        ({"optimizer": "adam", "epsilon": -1e-8}, "epsilon must be at least 0"),
        ({"optimizer": "torch_adamw", "epsilon": math.nan}, "epsilon must be at least 0"),
        ({"optimizer": "rmsprop", "rho": 1.0}, "rho must be at least 0 and below 1"),
        ({"optimizer": "torch_rmsprop", "rho": None}, "rho must be a number"),
        ({"optimizer": "torch_nadam", "momentum_decay": math.inf}, "momentum_decay must be at least 0 and below inf"),
    ],
)
def test_bad_values_are_one_sentence(values, words):
    with pytest.raises(SpecError, match=words):
        optimizer(Model(), Values(TRAINING_DEFAULTS | values))


@pytest.mark.parametrize("kind", ["momentum", "torch_adamw"])
def test_sd5_a_weight_decay_that_does_not_exist_is_none(kind):
    absent, zero, some = (run(kind, weight_decay=value) for value in (None, 0.0, 0.03))
    assert all(np.array_equal(a, z) for a, z in zip(absent[-1], zero[-1], strict=True))
    assert not all(np.array_equal(a, s) for a, s in zip(absent[-1], some[-1], strict=True))
