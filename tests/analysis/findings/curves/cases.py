"""How often the questions about curves are answered wrongly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import TrainSteps
from raytune_playbook.analysis.findings.curves.best_step_shares import best_step_shares
from raytune_playbook.analysis.findings.curves.clipping import clipping
from raytune_playbook.analysis.findings.curves.ends import training_ends
from raytune_playbook.analysis.findings.curves.instability import instability
from raytune_playbook.analysis.findings.curves.late_variance import late_variance
from raytune_playbook.analysis.findings.curves.overfitting import overfitting
from raytune_playbook.analysis.findings.curves.periodicity import periodicity
from raytune_playbook.analysis.findings.curves.rising_loss import rising_loss
from raytune_playbook.analysis.findings.finding import Finding, Status
from tests.analysis.findings.curves.shapes import (
    FIXED,
    PLAN,
    TWO_ARMS,
    Floats,
    Shapes,
    Values,
    falls,
    keeps_improving,
    number,
    round_of,
    speed,
)
from tests.analysis.findings.rates import Case, is_open

COSINE = replace(PLAN, fixed=FIXED | {"schedule": "cosine"})
LATE_LINEAR = replace(PLAN, fixed=FIXED | {"schedule": "linear", "decay_steps": 500})
"""Constant over the first three quarters of training."""
FINE = replace(PLAN, evaluation_interval_steps=20)
"""With 101 evaluations."""


def alike(values: Values, shares: Floats, _: np.random.Generator) -> Floats:
    """The same plateau whatever the learning rate."""
    return np.asarray(0.08 + 0.82 * np.exp(-shares / speed(values)))


def overfits(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """The error rises by a quarter of its lowest, from 40% of training on."""
    return np.asarray(falls(values, shares, rng) * (1 + 0.25 * np.clip((shares - 0.4) / 0.6, 0, 1)))


def some_overfit(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """It rises by a half, with larger learning rates than the best alone."""
    if number(values, "learning_rate") < 0.2:
        return falls(values, shares, rng)
    return np.asarray(falls(values, shares, rng) * (1 + 0.5 * np.clip((shares - 0.4) / 0.6, 0, 1)))


def saturates_early(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """Nothing changes from a tenth of training on."""
    return falls(values, 5 * shares, rng)


def best_early(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """Best within a tenth of training, and steadily worse from there on."""
    return np.asarray(falls(values, 20 * shares, rng) * (1 + 1.5 * shares))


def anneals(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """Saturated, but for what a cosine decay brings at its end: a tenth more at the full learning rate."""
    return np.asarray(falls(values, shares, rng) * (1 + 0.1 * np.cos(np.pi / 2 * shares) ** 2))


def anneals_late(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """Saturated before it decays, over the last quarter: a fifth more at the full learning rate."""
    return np.asarray(falls(values, shares / 0.75, rng) * (1 + 0.2 * np.minimum(1, 4 * (1 - shares))))


def with_period(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """Every 200 steps, by 5% of the error up and down."""
    return np.asarray(falls(values, shares, rng) * (1 + 0.05 * np.sin(2 * np.pi * shares * 10)))


def learns(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """A training loss from 2.3 to 0.05."""
    return falls(values, shares, rng, start=2.3, end=0.05)


def loss_rises(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """After half of training it takes a tenth of its fall back, whatever the learning rate."""
    return np.asarray(learns(values, shares, rng) + 0.22 * np.clip((shares - 0.5) / 0.5, 0, 1))


def jumps(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """Learning rates above the best jump once in the middle of training, and take a while to recover."""
    loss = learns(values, shares, rng)
    if number(values, "learning_rate") < 0.15:
        return loss
    since = shares - rng.uniform(0.3, 0.8)
    return np.asarray(loss + np.where(since >= 0, 1.2 * np.exp(-since / 0.05), 0.0))


def starts_badly(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """Learning rates above the best rise to three times the initial loss over the first 2% of training."""
    loss = learns(values, shares, rng)
    if number(values, "learning_rate") < 0.15:
        return loss
    return np.asarray(loss + 7.0 * np.where(shares < 0.02, np.sin(np.pi * shares / 0.02), 0.0))


def norms(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
    """Gradient norms that fall as training goes on, with a heavy tail."""
    return np.asarray((1 + 5 * np.exp(-shares / 0.05)) * rng.lognormal(0.0, 0.3, len(shares)))


def clipped(norm: float) -> Callable[[int], Evidence]:
    """A round all of whose gradients are clipped at this norm."""
    plan = replace(PLAN, fixed=FIXED | {"clipping_norm": norm})
    return lambda seed: round_of(seed, Shapes(norm=norms), plan)


def is_improving(findings: Sequence[Finding]) -> bool:
    return is_open(findings) and findings[0].numbers["num_improving"] > 0


def asks_for_longer_training(findings: Sequence[Finding]) -> bool:
    changes = [change for finding in findings if finding.proposal for change in finding.proposal.changes]
    return any(isinstance(change, TrainSteps) and change.max_train_steps > PLAN.max_train_steps for change in changes)


CASES: tuple[Case, ...] = (
    Case(
        "IN6",
        "overfitting in the best trial",
        "the error rises by a quarter of its lowest, 41 evaluations of 4,000 examples",
        overfitting,
        lambda seed: round_of(seed, Shapes(), TWO_ARMS),
        lambda seed: round_of(seed, Shapes(validation=overfits), TWO_ARMS),
        lambda findings: findings[0].status is Status.PROBLEM,
    ),
    Case(
        "IN6",
        "overfitting in trials that are not the best",
        "by a half of its lowest in a quarter of 16 trials",
        overfitting,
        lambda seed: round_of(seed, Shapes()),
        lambda seed: round_of(seed, Shapes(validation=some_overfit)),
    ),
    Case(
        "IN7",
        "high variance late in training",
        "from evaluation to evaluation 15% of the error; trials differ by less",
        late_variance,
        lambda seed: round_of(seed, Shapes(noise=0.03)),
        lambda seed: round_of(seed, Shapes(validation=alike, noise=8.0, correlation=0.0)),
    ),
    Case(
        "IN8",
        "still improving at the end, constant learning rate",
        "11% of the error in the last quarter",
        training_ends,
        lambda seed: round_of(seed, Shapes()),
        lambda seed: round_of(seed, Shapes(validation=keeps_improving, training=keeps_improving)),
        is_improving,
    ),
    Case(
        "IN8",
        "still improving at the end, cosine decay",
        "11% of the error in the last quarter, against 3% that the decay brings",
        training_ends,
        lambda seed: round_of(seed, Shapes(validation=anneals), COSINE),
        lambda seed: round_of(seed, Shapes(validation=keeps_improving, training=keeps_improving), COSINE),
        is_improving,
    ),
    Case(
        "IN8",
        "still improving before a linear decay",
        "11% of the error in the last quarter of the constant part, against a fifth that the decay brings after it",
        training_ends,
        lambda seed: round_of(seed, Shapes(validation=anneals_late), LATE_LINEAR),
        lambda seed: round_of(seed, Shapes(validation=keeps_improving, training=keeps_improving), LATE_LINEAR),
        asks_for_longer_training,
    ),
    Case(
        "IN8",
        "saturated long before the end",
        "nothing changes from a tenth of training on",
        training_ends,
        lambda seed: round_of(seed, Shapes()),
        lambda seed: round_of(seed, Shapes(validation=saturates_early, training=saturates_early)),
        lambda findings: is_open(findings) and not is_improving(findings),
    ),
    Case(
        "IN9",
        "training loss rises",
        "a tenth of its fall is lost again, at any learning rate",
        rising_loss,
        lambda seed: round_of(seed, Shapes(loss=learns)),
        lambda seed: round_of(seed, Shapes(loss=loss_rises)),
    ),
    Case(
        "IN10",
        "validation error has a period",
        "by 5% of it every 200 steps, 101 evaluations",
        periodicity,
        lambda seed: round_of(seed, Shapes(loss=learns), FINE),
        lambda seed: round_of(seed, Shapes(validation=with_period), FINE),
    ),
    Case(
        "IN14",
        "best steps in the last 25%",
        "11% of the error gained there",
        best_step_shares,
        lambda seed: round_of(seed, Shapes()),
        lambda seed: round_of(seed, Shapes(validation=keeps_improving, training=keeps_improving)),
    ),
    Case(
        "IN14",
        "best steps in the last 25%, cosine decay",
        "11% of the error gained there, against 3% that the decay brings",
        best_step_shares,
        lambda seed: round_of(seed, Shapes(validation=anneals), COSINE),
        lambda seed: round_of(seed, Shapes(validation=keeps_improving, training=keeps_improving), COSINE),
    ),
    Case(
        "IN14",
        "best steps in the first 10%",
        "learned within 1 to 4% of training, then by 15% worse every tenth of it",
        best_step_shares,
        lambda seed: round_of(seed, Shapes()),
        lambda seed: round_of(seed, Shapes(validation=best_early)),
    ),
    Case(
        "IN4",
        "sudden instability in the middle of training",
        "half of the fall lost at once, at learning rates above the best",
        instability,
        lambda seed: round_of(seed, Shapes(loss=learns, norm=norms)),
        lambda seed: round_of(seed, Shapes(loss=jumps, norm=norms)),
        lambda findings: any(finding.numbers.get("num_unstable", 0) > 0 for finding in findings),
    ),
    Case(
        "IN4",
        "early instability",
        "three times the initial loss within 2% of training",
        instability,
        lambda seed: round_of(seed, Shapes(loss=learns, norm=norms)),
        lambda seed: round_of(seed, Shapes(loss=starts_badly, norm=norms)),
        lambda findings: any(finding.numbers.get("num_unstable", 0) > 0 for finding in findings),
    ),
    Case(
        "UN7",
        "more than half of the updates clipped",
        "about 85% of them, against 25%",
        clipping,
        clipped(1.6),
        clipped(0.8),
    ),
)
