"""Rounds whose truth is known: points of a real Halton search, objectives and curves from formulas and seeded noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.records.types import ExamplesRecord, Outcome, Training
from raytune_playbook.search.halton import points
from raytune_playbook.search.sequences import at_units
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec, WorkloadSpec

WORKLOAD = WorkloadSpec(module="jobs.generated", name="Generated", settings={}, source_hash="5f3c")

SPACE: Mapping[str, Hyperparameter] = {
    "learning_rate": Float(1e-3, 1.0, scale="log"),
    "momentum": Float(0.5, 0.99, scale="log_one_minus"),
    "weight_decay": Float(1e-6, 1e-2, scale="log"),
}

Values = Mapping[str, Value]
ObjectiveOf = Callable[[Values, np.random.Generator], float | str]
"""A trial's objective; a text is the reason why it is infeasible."""
CurvesOf = Callable[[Values, float, np.random.Generator], Mapping[Evaluation, Curve]]
"""The evaluations of a completed trial with an objective."""


@dataclass(frozen=True)
class Plan:
    """What is generated: a study for each arm, trials of the same points in all of them."""

    arms: Sequence[Values] = ({},)
    space: Mapping[str, Hyperparameter] = field(default_factory=lambda: dict(SPACE))
    fixed: Values = field(default_factory=lambda: {"depth": 20})
    trials_per_arm: int = 20
    num_repeats: int = 0
    max_train_steps: int = 1000
    evaluation_interval_steps: int = 50
    num_validation_examples: int = 1000
    objective: Objective = field(default_factory=Objective)


def generated(plan: Plan, seed: int, objective_of: ObjectiveOf, curves_of: CurvesOf | None = None) -> Evidence:
    """A finished round.

    Args:
        plan: its studies.
        seed: of the search and of all noise.
        objective_of: of each trial, from its values, scientific and fixed ones included.
        curves_of: None for trials without measurements.
    """
    rng = np.random.default_rng(seed)
    studies = [_study(plan, arm, seed) for arm in plan.arms]
    trials: list[Trial] = []
    curves: dict[TrialId, TrialCurves] = {}
    for study in studies:
        for index in range(plan.trials_per_arm):
            for repeat in range(1 + (plan.num_repeats if index == 0 else 0)):
                trial, evaluations = _trial(plan, study, index, repeat, rng, objective_of, curves_of)
                trials.append(trial)
                if evaluations:
                    curves[trial.id] = TrialCurves(trial.id, evaluations, {})
    examples = ExamplesRecord(
        mode="materialized",
        sources={"all": "arrays"},
        num_examples={"train": 10_000, "validation": plan.num_validation_examples},
        num_bytes={"train": 1_000_000, "validation": 100_000},
    )
    roles = dict.fromkeys(plan.arms[0], "scientific") | dict.fromkeys(plan.space, "nuisance")
    roles |= dict.fromkeys(plan.fixed, "fixed")
    return Evidence(tuple(studies), plan.objective, tuple(trials), curves, roles, {}, examples)


def bowl(values: Values, optimum: Values, space: Mapping[str, Hyperparameter]) -> float:
    """The squared distance from an optimum in the unit cube, over the dimensions that the optimum names."""
    distances = [
        (space[name].to_unit(values[name]) or 0.0) - (space[name].to_unit(best) or 0.0)
        for name, best in optimum.items()
    ]
    return math.fsum(distance**2 for distance in distances)


def _study(plan: Plan, arm: Values, seed: int) -> StudySpec:
    return StudySpec(
        name=",".join(f"{name}={value}" for name, value in arm.items()) or "all",
        arm=dict(arm),
        space=dict(plan.space),
        fixed=dict(plan.fixed),
        seed=seed,
        num_trials=plan.trials_per_arm,
        objective=plan.objective,
        max_train_steps=plan.max_train_steps,
        evaluation_interval_steps=plan.evaluation_interval_steps,
        divergence_factor=2.0,
        workload=WORKLOAD,
        num_workers=1,
        threads_per_worker=1,
    )


_POINTS: dict[tuple[str, int], tuple[dict[str, Value], ...]] = {}
"""Points by space and seed: many rounds are generated over the same few of them."""


def _values(study: StudySpec, index: int) -> dict[str, Value]:
    """As a search suggests them."""
    key = (study.model_dump_json(include={"space"}), study.seed)
    known = _POINTS.get(key, ())
    if index >= len(known):
        known = _POINTS[key] = (*known, *_points(study, range(len(known), study.num_trials)))
    return study.fixed | study.arm | known[index]


def _points(study: StudySpec, indices: range) -> list[dict[str, Value]]:
    if all(hyperparameter.num_values is None for hyperparameter in study.space.values()):
        rows = points(len(indices), len(study.space), study.seed, indices.start)  # the same, all at once
        return [at_units(study.space, map(float, row)) for row in rows]
    trials = (suggest(study, index) for index in indices)
    return [{name: trial.values[name] for name in study.space} for trial in trials]


def _trial(
    plan: Plan,
    study: StudySpec,
    index: int,
    repeat: int,
    rng: np.random.Generator,
    objective_of: ObjectiveOf,
    curves_of: CurvesOf | None,
) -> tuple[Trial, Mapping[Evaluation, Curve]]:
    values = _values(study, index)
    reached = objective_of(values, rng)
    training = Training(num_steps=plan.max_train_steps, num_parameters=1000, train_s=10.0)
    if isinstance(reached, str):
        return Trial(study.name, index, repeat, values, Outcome.INFEASIBLE, reached, training=training), {}
    evaluations = curves_of(values, reached, rng) if curves_of else {}
    judged = evaluations.get(Evaluation(plan.objective.split, plan.objective.metric))
    best_step = plan.max_train_steps
    if judged is not None:
        place = int(np.argmin(judged.values) if plan.objective.goal == "minimize" else np.argmax(judged.values))
        reached, best_step = float(judged.values[place]), int(judged.steps[place])
    trial = Trial(
        study.name, index, repeat, values, Outcome.COMPLETED, objective=reached, best_step=best_step, training=training
    )
    return trial, evaluations
