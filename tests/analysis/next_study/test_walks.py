"""Proposals end: a round, what it proposes, the round with that, and so on until nothing is proposed (rule IN16)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings import all_findings
from raytune_playbook.analysis.findings.changes import Fix, NumTrials, SearchOver, TrainSteps
from raytune_playbook.analysis.next_study.next_study import NextStudy, next_study_of
from tests.analysis.findings.curves.shapes import FIXED, PLAN, Floats, Shapes, Values, fits, number, round_of
from tests.analysis.findings.generated import ObjectiveOf, Plan, generated
from tests.analysis.findings.space.cases import DIVERGED, NOISE

MOST_ROUNDS = 16
"""From 0.001 down to the smallest learning rate that is looked at are nine, at a decade each."""

NUM_SEEDS = 4
"""Of each kind of rounds."""

Make = Callable[[Plan], Evidence]


def walked(plan: Plan, make: Make) -> list[Plan]:
    """The rounds, the last of which proposes nothing."""
    plans = [plan]
    while (study := next_study_of(evidence := make(plans[-1]), all_findings(evidence))).changes:
        assert len(plans) < MOST_ROUNDS, plans
        plans.append(with_changes(plans[-1], study))
    return plans


def with_changes(plan: Plan, study: NextStudy) -> Plan:
    for proposed in study.changes:
        match proposed.change:
            case SearchOver(name, hyperparameter):
                fixed = {key: value for key, value in plan.fixed.items() if key != name}
                plan = replace(plan, space={**plan.space, name: hyperparameter}, fixed=fixed)
            case Fix(name, value):
                space = {key: own for key, own in plan.space.items() if key != name}
                plan = replace(plan, space=space, fixed={**plan.fixed, name: value})
            case NumTrials(per_study):
                plan = replace(plan, trials_per_arm=per_study)
            case TrainSteps(max_train_steps):
                plan = replace(plan, max_train_steps=max_train_steps)
    return plan


# ---------------------------------------------------------------------- ranges and numbers of points


def decades(values: Values) -> float:
    return math.log10(number(values, "learning_rate"))


def objectives(seed: int) -> Mapping[str, ObjectiveOf]:
    """From the learning rate, whose best one lies inside of what is searched or beyond."""
    rng = np.random.default_rng(1000 + seed)
    best = rng.uniform(-3.5, 0.5)
    wall = best + rng.uniform(-0.3, 1.5)

    def bowl(values: Values, rng: np.random.Generator) -> float:
        return float(0.05 + 0.1 * (decades(values) - best) ** 2 + NOISE * rng.normal())

    def saturating(values: Values, rng: np.random.Generator) -> float:
        """Ever better towards 0."""
        rate = number(values, "learning_rate")
        return float(0.05 + 0.3 * rate / (rate + 10**best) + 0.3 * NOISE * rng.normal())

    return {
        "bowl": bowl,
        "bowl without noise": lambda values, _: float(0.05 + 0.1 * (decades(values) - best) ** 2),
        "unstable above": lambda values, rng: DIVERGED if decades(values) > wall else bowl(values, rng),
        "saturating": saturating,
        "ever better": lambda values, rng: float(2 + 0.1 * decades(values) + NOISE * rng.normal()),
        "a needle": lambda values, rng: float(1 + 0.01 * rng.normal() - 0.9 * (abs(decades(values) - best) < 0.01)),
        "noise": lambda values, rng: float(1 + 0.1 * rng.normal()),
    }


@pytest.mark.parametrize("kind", objectives(0))
def test_in1_in2_in3_in19_what_is_asked_of_a_space_ends(kind: str) -> None:
    for seed in range(NUM_SEEDS):
        objective = objectives(seed)[kind]

        def without_best_steps(plan: Plan, seed: int = seed, objective: ObjectiveOf = objective) -> Evidence:
            evidence = generated(plan, seed, objective)
            return replace(evidence, trials=tuple(replace(trial, best_step=None) for trial in evidence.trials))

        plans = walked(Plan(), without_best_steps)
        assert plans[-1].trials_per_arm <= 200


# ---------------------------------------------------------------------- number of steps


def error_at(steps: Floats, plan: Plan, needed: float) -> Floats:
    """What training comes to at a constant learning rate is a third above what the decay brings it to; both approach
    their floor in as many steps, whatever the length of training."""
    decay_steps = plan.fixed["decay_steps"]
    length = {"constant": 0.0, "cosine": 1.0, "linear": 1.0}[str(plan.fixed["schedule"])] * plan.max_train_steps
    if isinstance(decay_steps, int) and length:
        length = float(decay_steps)
    left = np.clip((plan.max_train_steps - steps) / length, 0, 1) if length else np.ones(len(steps))
    return np.asarray(0.06 * (1 + left / 3) + 0.8 * np.exp(-steps / needed))


@pytest.mark.parametrize(
    ("schedule", "decay_steps", "needed", "longer"),
    [
        ("constant", None, 1500.0, True),
        ("constant", None, 130.0, False),
        ("linear", 500, 1500.0, True),
        ("linear", 500, 130.0, False),
        ("linear", None, 130.0, False),
        ("cosine", None, 130.0, False),
        ("cosine", None, 1500.0, False),  # whether its end improves by the decay alone a person finds out
    ],
)
def test_in8_in14_longer_training_is_asked_for_until_it_is_saturated(
    schedule: str, decay_steps: int | None, needed: float, longer: bool
) -> None:
    num_longer = 0
    for seed in range(NUM_SEEDS):

        def make(plan: Plan, seed: int = seed) -> Evidence:
            def error(values: Values, shares: Floats, rng: np.random.Generator) -> Floats:
                off = math.log10(number(values, "learning_rate") / 0.1)
                return np.asarray((1 + 0.1 * off**2) * error_at(shares * plan.max_train_steps, plan, needed))

            return round_of(seed, Shapes(validation=error, training=fits), plan)

        start = replace(PLAN, fixed=FIXED | {"schedule": schedule, "decay_steps": decay_steps})
        lengths = [plan.max_train_steps for plan in walked(start, make)]
        assert lengths == sorted(lengths)
        num_longer += lengths[-1] > lengths[0]
        assert lengths[-1] <= 10 * needed + 2 * (decay_steps or 0) + PLAN.max_train_steps
    assert num_longer == NUM_SEEDS if longer else num_longer <= 1  # a false alarm
