"""Scientific numbers whose best is the least or the greatest: part of whether the space is large enough (rule IN1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.judging.best import best_trial
from raytune_playbook.analysis.sampled.points import points_of, scores_of
from raytune_playbook.analysis.sampled.response import responses
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete, Hyperparameter
from raytune_playbook.study.wording import value_text

RULE = "IN1"
QUESTION = "Is the search space large enough?"

CHANCE = 0.01
"""How often chance may raise a finding of all scientific hyperparameters together."""


def scientific_ends(evidence: Evidence) -> list[Finding]:
    """The scientific hyperparameters whose best value is at an end towards which the objective improves."""
    numeric = {name: values for name in evidence.scientific if len(values := _numbers(evidence, name)) >= 3}
    findings = (_of(evidence, name, values, CHANCE / len(numeric)) for name, values in numeric.items())
    return [finding for finding in findings if finding is not None]


def _numbers(evidence: Evidence, name: str) -> list[int | float]:
    """Its values in rising order; none where one of them is not a number."""
    values = {arm.values[name] for arm in evidence.arms if arm.values.get(name) is not None}
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return sorted(numbers) if len(numbers) == len(values) else []


def _of(evidence: Evidence, name: str, values: Sequence[int | float], chance: float) -> Finding | None:
    arms = [arm for arm in evidence.arms if arm.values.get(name) is not None]
    best = best_trial([trial for arm in arms for trial in arm.ended], evidence.objective)
    if best is None:
        return None
    at_best = next(arm.values[name] for arm in arms if best in arm.ranked)
    if at_best not in (values[0], values[-1]):
        return None
    upward = at_best == values[-1]
    if _falls_outward(evidence, arms, {name: Discrete(values)}, upward) >= chance:
        return None
    which, beyond = ("largest", "larger") if upward else ("smallest", "smaller")
    return Finding(
        RULE,
        QUESTION,
        Status.LOOK,
        f"The best value of {name}, {value_text(at_best)}, is the {which} that was tried, and the objective improves "
        f"towards it: {beyond} ones may be better.",
        trials=(best.id,),
        proposal=Proposal(f"Compare {beyond} values of {name} than {value_text(at_best)} as well."),
    )


def _falls_outward(evidence: Evidence, arms: Sequence[Arm], own: Mapping[str, Hyperparameter], upward: bool) -> float:
    """How often chance would make the objective improve as clearly across the end of the scientific values."""
    (name, hyperparameter), *_ = own.items()
    shared = {key: space for key, space in arms[0].space.items() if all(arm.space.get(key) == space for arm in arms)}
    points = [points_of(arm.ended, shared, evidence.objective) for arm in arms]
    column = np.concatenate(
        [
            np.full(len(of_arm.costs), _unit(hyperparameter, arm.values[name]))
            for arm, of_arm in zip(arms, points, strict=True)
        ]
    )
    units = np.concatenate([column[:, None], np.concatenate([of_arm.units for of_arm in points])], axis=1)
    scores = scores_of(np.concatenate([of_arm.costs for of_arm in points]))
    response = responses({**own, **shared}, units, scores).get(name)
    return 1.0 if response is None else response.falls_outward(1.0 if upward else 0.0, upward=upward)


def _unit(hyperparameter: Hyperparameter, value: Value) -> float:
    unit = hyperparameter.to_unit(value)
    return math.nan if unit is None else unit
