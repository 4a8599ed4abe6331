"""Which trials a question about curves looks at, how sentences call them, and what they were trained with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytune_playbook.analysis.evaluation_sample import NUM_EXAMPLES
from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.series.curves import Evaluation
from raytune_playbook.analysis.series.stacks import Floats, Stack
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.known import usual_name
from raytune_playbook.study.wording import values_text

VALIDATION = "validation"
TRAIN = "train"

DECAYS = ("linear", "cosine")
"""Schedules by which the learning rate falls."""

WARMUP_SHARE = 0.05
"""Of training: the longest warmup that does not ask for more steps (rule UN5)."""

BEST_FEW = 5
"""At most so many of an arm's best trials are looked at together, and no more than a third of them."""


def completed(evidence: Evidence) -> list[Trial]:
    """First runs that were completed."""
    return [trial for trial in evidence.first_runs if trial.outcome == Outcome.COMPLETED]


def best_few(arm: Arm) -> tuple[Trial, ...]:
    return arm.ranked[: min(BEST_FEW, -(-len(arm.ranked) // 3))]


def best_of_arms(evidence: Evidence) -> list[Trial]:
    """Each arm's best trial."""
    return [arm.best for arm in evidence.arms if arm.best is not None]


def no_curves(rule: str, question: str, evidence: Evidence, what: str = "Evaluations") -> Finding:
    """The finding where there is nothing to look at."""
    sentence = "No trial was completed." if not completed(evidence) else f"{what} over training were not recorded."
    return Finding(rule, question, Status.CANNOT_TELL, sentence)


def ends_at_target(rule: str, question: str, evidence: Evidence) -> Finding | None:
    """That the length of training says nothing, where trials end as soon as they are good enough; None elsewhere."""
    if evidence.target is None:
        return None
    sentence = (
        f"Trials end when they reach a {evidence.objective.name} of {evidence.target:g}, so how long they were trained "
        "does not tell whether max_train_steps is right."
    )
    return Finding(rule, question, Status.PASSES, sentence)


def too_few_evaluations(rule: str, question: str, stacks: Sequence[Stack], fewest: int) -> Finding:
    """The finding where trials were not evaluated often enough."""
    most = max(stack.values.shape[1] for stack in stacks)
    sentence = f"At most {most} evaluations of a trial are too few to tell from noise; evaluate {fewest} times or more."
    return Finding(rule, question, Status.CANNOT_TELL, sentence)


def trials_text(trials: Sequence[Trial], most: int = 3) -> str:
    """``a/00001, a/00002 and 5 more``."""
    names = [trial.text for trial in trials[:most]]
    if len(trials) > most:
        return f"{', '.join(names)} and {count_text(len(trials) - most)} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def arm_text(arm: Arm) -> str:
    """How a sentence calls an arm: its scientific values, else its study."""
    return values_text(arm.values) or arm.study


def share_text(evidence: Evidence, share: float) -> str:
    """A share of the objective's metric; of one that should be large, of what it lacks."""
    return f"{share:.0%}" + (" of what it lacks" if evidence.objective.goal == "maximize" else "")


def number_of(trial: Trial, name: str) -> float | None:
    """A hyperparameter's value in a trial, where it is a number; also of one with a qualified name."""
    value = value_of(trial, name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def value_of(trial: Trial, name: str) -> Value:
    """A hyperparameter's value in a trial, whether it is called ``name``, ``adam.name`` or as another tool calls it
    there; None without one."""
    if trial.values.get(name) is not None:
        return trial.values[name]
    return next((value for key, value in trial.values.items() if usual_name(key) == name and value is not None), None)


def is_fixed(evidence: Evidence, name: str) -> bool:
    """Whether all studies have this hyperparameter, fixed and not a scientific value."""
    return bool(evidence.studies) and all(name in study.fixed for study in evidence.studies)


def fixed_values(evidence: Evidence, name: str) -> set[Value]:
    """The values at which the studies fix it."""
    return {study.fixed[name] for study in evidence.studies if name in study.fixed}


def num_examples(evidence: Evidence, trial: Trial, split: str) -> int | None:
    """How many examples a trial's evaluations scored; None where that is not known."""
    curves = evidence.curves.get(trial.id)
    counted = None if curves is None else curves.about.get(Evaluation(split, NUM_EXAMPLES))
    if counted is not None and len(counted.values) and np.isfinite(counted.values[-1]):
        return int(counted.values[-1])
    return None if evidence.examples is None or split == TRAIN else evidence.examples.num_examples.get(split)


def wrong_examples(evidence: Evidence, stack: Stack, split: str = VALIDATION) -> Floats | None:
    """The values of the objective's metric as numbers of examples that the model gets wrong, of the stack's shape.

    Returns:
        None where the metric is no share of examples: losses are none.
    """
    num = num_examples(evidence, stack.trials[0], split) if stack.trials else None
    if not num:
        return None
    wrong = num * stack.values
    is_count = np.abs(wrong - np.round(wrong)) < 1e-3
    return np.round(wrong) if is_count.all() and (wrong > -0.5).all() and (wrong < num + 0.5).all() else None
