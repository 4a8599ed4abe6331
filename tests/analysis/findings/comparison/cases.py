"""What the questions about the comparison find, and how often they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.comparison.cost import cost
from raytune_playbook.analysis.findings.comparison.equal_tuning import equal_tuning
from raytune_playbook.analysis.findings.comparison.rare_classes import rare_classes
from raytune_playbook.analysis.findings.comparison.same_conditions import same_conditions
from raytune_playbook.analysis.findings.comparison.stopped_early import stopped_early
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Attempt, Outcome, Training
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from tests.analysis.findings.generated import Plan, generated
from tests.analysis.findings.rates import Case

ARMS = ({"norm": "device"}, {"norm": "sync"})
SPACE = {"learning_rate": Float(1e-3, 1.0, scale="log")}

Change = Callable[[Trial, np.random.Generator], Trial]


def changed(seed: int, change: Change, *, trials_per_arm: int = 8) -> Evidence:
    """Two values, of which sync is the better one, with other trials."""
    plan = Plan(arms=ARMS, space=SPACE, trials_per_arm=trials_per_arm)
    evidence = generated(
        plan, seed, lambda values, rng: float(rng.uniform(0.1, 0.2)) - 0.1 * (values["norm"] == "sync")
    )
    rng = np.random.default_rng(seed)
    return replace(evidence, trials=tuple(change(trial, rng) for trial in evidence.trials))


def is_sync(trial: Trial) -> bool:
    return trial.values["norm"] == "sync"


def crashing(probability: float) -> Callable[[int], Evidence]:
    """Trials with sync crash with a probability."""

    def change(trial: Trial, rng: np.random.Generator) -> Trial:
        if is_sync(trial) and trial.index and rng.uniform() < probability:
            return replace(trial, outcome=Outcome.FAILED, objective=None)
        if rng.uniform() < 0.3:
            return replace(trial, outcome=Outcome.INFEASIBLE, objective=None, reason="NaN: loss")
        return trial

    return lambda seed: changed(seed, change, trials_per_arm=12)


def slower(factor: float) -> Callable[[int], Evidence]:
    """A step of sync takes a multiple; each trial's time varies by a fifth, as on a machine with other work."""

    def change(trial: Trial, rng: np.random.Generator) -> Trial:
        train_s = 10.0 * (factor if is_sync(trial) else 1.0) * float(np.exp(0.2 * rng.normal()))
        return replace(trial, training=Training(num_steps=1000, num_parameters=1000, train_s=train_s))

    return lambda seed: changed(seed, change)


def coded(share: float) -> Callable[[int], Evidence]:
    """A share of the trials was trained by other code."""

    def change(trial: Trial, rng: np.random.Generator) -> Trial:
        code = "b7e1" if rng.uniform() < share else "5f3c"
        return replace(trial, attempts=(Attempt(1, "gang-0", "2026-01-02T03:04:05", "completed", source_hash=code),))

    return lambda seed: changed(seed, change)


def pruned(share: float) -> Callable[[int], Evidence]:
    """A share of the trials was stopped somewhere in the first half."""

    def change(trial: Trial, rng: np.random.Generator) -> Trial:
        num_steps = int(rng.integers(50, 500)) if rng.uniform() < share else 1000
        return replace(trial, training=Training(num_steps=num_steps, num_parameters=1000, train_s=1.0))

    return lambda seed: changed(seed, change)


def classes(num_rare: int) -> Callable[[int], Evidence]:
    """A class of 200 examples and another, of which three quarters are predicted correctly."""

    def make(seed: int) -> Evidence:
        evidence = changed(seed, lambda trial, rng: trial)
        rng = np.random.default_rng(seed)
        curves = {}
        for trial in evidence.trials:
            about = {}
            for label, number in (("usual", 200), ("rare", num_rare)):
                right = float(rng.binomial(number, 0.75))
                for column, value in (("num_correct", right), ("num_examples", number)):
                    curve = Curve(np.array([500, 1000]), np.array([0.0, value]))
                    about[Evaluation("validation", f"{column}.{label}")] = curve
            curves[trial.id] = TrialCurves(trial.id, {}, {}, {}, about)
        return replace(evidence, curves=curves)

    return make


CASES = (
    Case("SD13", "values that were tuned less", "half of 12 trials crashed", equal_tuning, crashing(0), crashing(0.5)),
    Case("SD13", "trials of other code", "a third of 16 trials", same_conditions, coded(0), coded(1 / 3)),
    Case("CK4", "trials that were stopped early", "a third of 16 trials", stopped_early, pruned(0), pruned(1 / 3)),
    Case("IN20", "a better value that costs more", "twice the time, ±20% each trial", cost, slower(1), slower(2)),
    Case("EV6", "a rare class", "12 examples, without 60", rare_classes, classes(60), classes(12)),
)
