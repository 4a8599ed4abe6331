"""Rounds whose curves have a known shape: training that is fast or slow by its learning rate, on a finite validation
set whose noise is correlated from one evaluation to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves, digest_of
from raytune_playbook.records.columns import GRADIENT_NORM, LOSS
from tests.analysis.findings.generated import Plan, Values, generated

Floats = npt.NDArray[np.float64]
Shape = Callable[[Values, Floats, np.random.Generator], Floats]
"""A metric's true value, from a trial's values and the shares of its training."""

FIXED: Values = {
    "schedule": "constant",
    "decay_steps": None,
    "averaging": "none",
    "warmup_steps": 0,
    "clipping_norm": None,
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "batch_size": 100,
}
NUM_VALIDATION = 4000
PLAN = Plan(
    fixed=FIXED,
    trials_per_arm=16,
    max_train_steps=2000,
    evaluation_interval_steps=50,
    num_validation_examples=NUM_VALIDATION,
)
"""16 trials of one study, each evaluated 41 times on 4,000 validation examples; an epoch has 100 steps."""

TWO_ARMS = replace(PLAN, arms=({"depth": 20}, {"depth": 50}), trials_per_arm=10)


def speed(values: Values) -> float:
    """The share of training by which most is learned: less with a larger learning rate."""
    return 0.08 / math.sqrt(number(values, "learning_rate") / 0.1)


def falls(values: Values, shares: Floats, _: np.random.Generator, *, start: float = 0.9, end: float = 0.08) -> Floats:
    """A decay to a plateau, which is higher far from the best learning rate; it is reached well before the end unless
    the learning rate is far too small."""
    off = math.log10(number(values, "learning_rate") / 0.1)
    plateau = end * (1 + 0.1 * off**2)
    return np.asarray(plateau + (start - plateau) * np.exp(-shares / speed(values)))


def fits(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """The training set's error, which comes close to zero."""
    return falls(values, shares, rng, end=0.005)


def keeps_improving(values: Values, shares: Floats, _: np.random.Generator) -> Floats:
    """A power of the steps, as compute-bound training has it: 11% in the last quarter."""
    off = math.log10(number(values, "learning_rate") / 0.1)
    return np.asarray(0.1 * (1 + 0.1 * off**2) * (shares + 0.01) ** -0.4)


@dataclass(frozen=True)
class Shapes:
    """What is generated.

    Fields:
        validation, training: error rates.
        noise: of validation errors, as a share of what independent examples at each evaluation would give.
        correlation: of that noise from one evaluation to the next.
        loss, norm: of single training steps, before noise; None for none.
        batch_noise: of them, as a share of their value.
    """

    validation: Shape = falls
    training: Shape | None = fits
    noise: float = 0.5
    correlation: float = 0.3
    loss: Shape | None = None
    norm: Shape | None = None
    batch_noise: float = 0.2


def round_of(seed: int, shapes: Shapes, plan: Plan = PLAN) -> Evidence:
    """A finished round whose trials' curves have these shapes."""
    steps = np.arange(0, plan.max_train_steps + 1, plan.evaluation_interval_steps)
    shares = steps / plan.max_train_steps

    def curves_of(values: Values, _: float, rng: np.random.Generator) -> Mapping[Evaluation, Curve]:
        errors = _observed(shapes.validation(values, shares, rng), shapes, plan.num_validation_examples, rng)
        found = {Evaluation("validation", "error"): Curve(steps, errors)}
        if shapes.training is not None:
            errors = _observed(shapes.training(values, shares, rng), shapes, 4000, rng)
            found[Evaluation("train", "error")] = Curve(steps, errors)
        return found

    evidence = generated(plan, seed, lambda *_: 0.0, curves_of)
    if shapes.loss is None and shapes.norm is None:
        return evidence
    rng = np.random.default_rng([seed, 1])
    values = {trial.id: trial.values for trial in evidence.trials}
    curves = {id_: _with_steps(of_trial, values[id_], shapes, plan, rng) for id_, of_trial in evidence.curves.items()}
    return replace(evidence, curves=curves)


def _observed(rates: Floats, shapes: Shapes, num: int, rng: np.random.Generator) -> Floats:
    """Error rates on a finite set, in whole examples."""
    own = rng.normal(size=len(rates))
    noise = np.empty(len(rates))
    noise[0] = own[0]
    for place in range(1, len(rates)):
        noise[place] = shapes.correlation * noise[place - 1] + math.sqrt(1 - shapes.correlation**2) * own[place]
    deviation = np.sqrt(np.maximum(rates * (1 - rates), 0) * num * shapes.noise)
    return np.asarray(np.clip(np.round(rates * num + noise * deviation), 0, num) / num)


def _with_steps(
    curves: TrialCurves, values: Values, shapes: Shapes, plan: Plan, rng: np.random.Generator
) -> TrialCurves:
    steps = np.arange(1, plan.max_train_steps + 1)
    found = {}
    for name, shape in ((LOSS, shapes.loss), (GRADIENT_NORM, shapes.norm)):
        if shape is not None:
            truth = shape(values, steps / plan.max_train_steps, rng)
            noisy = truth * rng.lognormal(0.0, shapes.batch_noise, len(steps))
            found[name] = Curve(steps, noisy)
    digests = {name: digest_of(curve.steps, curve.values) for name, curve in found.items()}
    evaluations = dict(curves.evaluations)
    if shapes.loss is not None:
        evaluated = np.arange(0, plan.max_train_steps + 1, plan.evaluation_interval_steps)
        losses = shapes.loss(values, evaluated / plan.max_train_steps, rng)
        evaluations[Evaluation("train", LOSS)] = Curve(evaluated, losses)
    return TrialCurves(curves.trial, evaluations, found, digests)


def number(values: Values, name: str) -> float:
    value = values[name]
    assert isinstance(value, int | float)
    return float(value)
