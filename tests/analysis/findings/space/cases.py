"""What the questions about the search space find, and how often they are wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Fix, SearchOver
from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.analysis.findings.space.boundary import boundary
from raytune_playbook.analysis.findings.space.density import density
from raytune_playbook.analysis.findings.space.importance import importance
from raytune_playbook.analysis.findings.space.infeasible import infeasible_share
from raytune_playbook.analysis.findings.space.instability import limited_by_instability
from raytune_playbook.analysis.findings.space.left_out import left_out
from raytune_playbook.analysis.findings.space.matters import matters
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter
from tests.analysis.findings.generated import SPACE, Plan, Values, bowl, generated
from tests.analysis.findings.rates import Case

NOISE = 0.02
"""The standard deviation of an objective, beside a bowl of which the ends are 0.06 to 1 above its middle."""


DIVERGED = "diverged: training loss 31.2 exceeds 2 x 2.30"


def unit(values: Values, name: str) -> float:
    """Where a trial lies in the range of a hyperparameter of `SPACE`."""
    return SPACE[name].to_unit(values[name]) or 0.0


def inside(seed: int) -> dict[str, float]:
    """An optimum that lies well inside."""
    rng = np.random.default_rng(1000 + seed)
    return {name: float(rng.uniform(0.25, 0.75)) for name in SPACE}


def rounds(optimum: dict[str, float], seed: int, *, unstable_above: float = 2.0, num_trials: int = 20) -> Evidence:
    """The learning rate matters most, momentum less, weight decay not at all."""

    def objective(values: Values, rng: np.random.Generator) -> float | str:
        if unit(values, "learning_rate") > unstable_above:
            return DIVERGED
        bowl = (unit(values, "learning_rate") - optimum["learning_rate"]) ** 2
        return 0.05 + bowl + 0.3 * (unit(values, "momentum") - optimum["momentum"]) ** 2 + NOISE * rng.normal()

    return generated(Plan(trials_per_arm=num_trials), seed, objective)


def searched(num_hyperparameters: int, num_trials: int, noise: float, seed: int) -> Evidence:
    """A bowl in all hyperparameters, and a point that was trained again four times."""
    rng = np.random.default_rng(1000 + seed)
    space: dict[str, Hyperparameter] = {f"h{i}": Float(0.0, 1.0) for i in range(num_hyperparameters)}
    optimum = {name: float(rng.uniform(0.25, 0.75)) for name in space}

    def objective(values: Values, rng: np.random.Generator) -> float:
        return 0.05 + bowl(values, optimum, space) + noise * rng.normal()

    return generated(Plan(space=space, trials_per_arm=num_trials, num_repeats=4), seed, objective)


def partly_infeasible(share_above: float, share_below: float, seed: int, num_trials: int = 20) -> Evidence:
    """Shares of infeasible trials in the upper 30% of the learning rates, and below; the best lie further below."""

    def objective(values: Values, rng: np.random.Generator) -> float | str:
        share = share_above if unit(values, "learning_rate") > 0.7 else share_below
        feasible = 0.05 + (unit(values, "learning_rate") - 0.35) ** 2 + NOISE * rng.normal()
        return DIVERGED if rng.random() < share else feasible

    return generated(Plan(trials_per_arm=num_trials), seed, objective)


def names_learning_rates_above(findings: Sequence[Finding]) -> bool:
    """Whether a range of learning rates is proposed that ends below the infeasible ones, about."""
    changes = [change for finding in findings if finding.proposal for change in finding.proposal.changes]
    return any(
        isinstance(change, SearchOver)
        and change.name == "learning_rate"
        and isinstance(change.hyperparameter, Float)
        and change.hyperparameter.high < 0.3
        for change in changes
    )


def nothing_matters(seed: int) -> Evidence:
    """Noise, in three studies of the same twelve points."""
    plan = Plan(arms=[{"batch_norm": kind} for kind in ("device", "sync", "ghost")], trials_per_arm=12)
    return generated(plan, seed, lambda values, rng: float(rng.normal(0.1, NOISE)))


def one_matters(seed: int) -> Evidence:
    """A bowl in the learning rate in three studies of the same points, and noise."""
    plan = Plan(arms=[{"batch_norm": kind} for kind in ("device", "sync", "ghost")], trials_per_arm=12)
    best = inside(seed)["learning_rate"]

    def objective(values: Values, rng: np.random.Generator) -> float:
        return 0.05 + 0.3 * (unit(values, "learning_rate") - best) ** 2 + NOISE * float(rng.normal())

    return generated(plan, seed, objective)


def together(seed: int, *, depends: bool) -> Evidence:
    """The best learning rate falls by half of its range from one end of the momentum to the other, or does not."""
    best = inside(seed)

    def objective(values: Values, rng: np.random.Generator) -> float:
        shift = 0.5 * (unit(values, "momentum") - 0.5) if depends else 0.0
        bowl = (unit(values, "learning_rate") - best["learning_rate"] + shift) ** 2
        return 0.05 + bowl + 0.3 * (unit(values, "momentum") - best["momentum"]) ** 2 + NOISE * float(rng.normal())

    return generated(Plan(trials_per_arm=40), seed, objective)


def all_matter(seed: int, weight: float) -> Evidence:
    """Bowls in all three hyperparameters, that of the weight decay of a weight of its own."""
    best = inside(seed)

    def objective(values: Values, rng: np.random.Generator) -> float:
        weights = {"learning_rate": 1.0, "momentum": 1.0, "weight_decay": weight}
        bowls = (weights[name] * (unit(values, name) - best[name]) ** 2 for name in SPACE)
        return 0.05 + sum(bowls) + NOISE * float(rng.normal())

    return generated(Plan(trials_per_arm=40), seed, objective)


def asks_to_fix(findings: Sequence[Finding]) -> bool:
    return any(isinstance(change, Fix) for found in findings if found.proposal for change in found.proposal.changes)


CASES: tuple[Case, ...] = (
    Case(
        "IN1",
        "a range that is cut off",
        "20 trials of 3 hyperparameters, the best learning rate a quarter of the range beyond its upper end",
        boundary,
        lambda seed: rounds(inside(seed), seed),
        lambda seed: rounds(inside(seed) | {"learning_rate": 1.25}, seed),
    ),
    Case(
        "IN2",
        "too few points",
        "12 trials of 8 hyperparameters that all matter, against 40 of 3; noise 1% and 10% of the spread",
        density,
        lambda seed: searched(3, 40, 0.02, seed),
        lambda seed: searched(8, 12, 0.005, seed),
    ),
    Case(
        "IN3",
        "a large share of infeasible trials",
        "9 of 10 in the upper 30% of the learning rates and 1 of 10 elsewhere, against 1 of 20, in 20 trials",
        infeasible_share,
        lambda seed: partly_infeasible(0.05, 0.05, seed),
        lambda seed: partly_infeasible(0.9, 0.1, seed),
    ),
    Case(
        "IN3",
        "where infeasible trials lie",
        "9 of 10 in the upper 30% of the learning rates and 1 of 20 elsewhere, against 3 of 10 anywhere, in 30 trials",
        infeasible_share,
        lambda seed: partly_infeasible(0.3, 0.3, seed, 30),
        lambda seed: partly_infeasible(0.9, 0.05, seed, 30),
        names_learning_rates_above,
    ),
    Case(
        "UN10",
        "instability that limits the learning rate",
        "20 trials, all infeasible in the upper 30% of the learning rates, the best just below",
        limited_by_instability,
        lambda seed: rounds(inside(seed) | {"learning_rate": 0.35}, seed, unstable_above=0.7),
        lambda seed: rounds(inside(seed) | {"learning_rate": 0.85}, seed, unstable_above=0.7),
    ),
    Case(
        "IN19",
        "nothing that was tuned matters",
        "noise alone, against a bowl 0.07 to 0.17 deep of one of 3 hyperparameters beside noise of 0.02, in 3 studies "
        "of 12 trials",
        matters,
        one_matters,
        nothing_matters,
    ),
    Case(
        "IN15",
        "hyperparameters that must be tuned together",
        "40 trials, the best learning rate falls by half of its range over the range of the momentum",
        importance,
        lambda seed: together(seed, depends=False),
        lambda seed: together(seed, depends=True),
        lambda findings: any(finding.numbers.get("num_interactions", 0) > 0 for finding in findings),
    ),
    Case(
        "IN19",
        "a hyperparameter that can be fixed",
        "40 trials, one of 3 makes no difference, against one that matters 0.4 times as much as the others",
        left_out,
        lambda seed: all_matter(seed, 0.4),
        lambda seed: all_matter(seed, 0.0),
        asks_to_fix,
    ),
)
