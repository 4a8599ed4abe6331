"""Whether exploration has narrowed a space enough for Bayesian optimization (rule QR9).

The Deep Learning Tuning Playbook, "After exploration concludes": "there should be a refined search space that
comfortably contains the local region around the best observed trial and has been adequately sampled".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from raytune_playbook.errors import SpaceError
from raytune_playbook.search.evidence import Goal, Observation
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int

MARGIN = 0.05
"""The outer share of a range, on the hyperparameter's own scale, in which the best trial is near a boundary."""

MIN_COMPLETED = 10
"""Fewer completed trials have not sampled any space adequately; nor have fewer than two for each dimension."""

MIN_GOOD = 3
"""So many completed trials, the best included, must be nearer to the best objective than to the median one."""

NUM_TRIALS = "num_trials"
"""Under this name a reason excuses too few trials."""


def require_refined(
    space: Mapping[str, Hyperparameter],
    observed: Sequence[Observation],
    goal: Goal,
    reasons: Mapping[str, str] | None = None,
) -> list[str]:
    """Refuse a space that exploration has not narrowed, unless there are reasons to search it all the same.

    A space is refined when enough of its trials completed (`MIN_COMPLETED`, and two for each dimension), enough of them
    are good (`MIN_GOOD`), and the best one lies inside, not near a boundary (`MARGIN`). The lowest and the highest
    value of an `Int` or a `Discrete` with three values or more are boundaries too; a `Categorical` has none.

    Args:
        space: one arm's active space.
        observed: what exploration has seen of it.
        goal: whether small or large objectives are good.
        reasons: why a hyperparameter's best value may lie near its boundary, such as ``{"dropout": "0 is the least"}``,
            or why few trials must do, under ``"num_trials"``.

    Returns:
        A warning for each finding that a reason excuses.

    Raises:
        SpaceError: the first finding without a reason.
    """
    excused = reasons or {}
    findings = [*_sampling(space, observed, goal), *_boundaries(space, observed, goal)]
    for finding in findings:
        if finding.name not in excused:
            raise SpaceError(f"{finding.text}; {finding.remedy}, or give a reason for {finding.name!r}.")
    return [f"{finding.text} (reason given: {excused[finding.name]})." for finding in findings]


class _Finding(NamedTuple):
    """What speaks against a space, with the name that a reason excuses it by."""

    name: str
    text: str
    remedy: str


def _costs(observed: Sequence[Observation], goal: Goal) -> list[float]:
    """Objectives as costs, of which small ones are good; infinite for infeasible points."""
    sign = 1.0 if goal == "minimize" else -1.0
    return [math.inf if seen.objective is None else sign * seen.objective for seen in observed]


def _sampling(space: Mapping[str, Hyperparameter], observed: Sequence[Observation], goal: Goal) -> Iterator[_Finding]:
    """Whether enough trials completed, and enough of them are good."""
    costs = [cost for cost in _costs(observed, goal) if cost < math.inf]
    needed = max(MIN_COMPLETED, 2 * len(space))
    if len(costs) < needed:
        yield _Finding(
            NUM_TRIALS,
            f"Bayesian optimization needs an adequately sampled space: at least {needed} completed trials in "
            f"{len(space)} dimensions, but got {len(costs)}",
            "explore it with quasi-random search first",
        )
        return
    halfway = (min(costs) + float(np.median(costs))) / 2
    good = sum(cost <= halfway for cost in costs)
    if good < MIN_GOOD:
        yield _Finding(
            NUM_TRIALS,
            f"Bayesian optimization needs a region of good points: at least {MIN_GOOD} of {len(costs)} completed "
            f"trials nearer to the best objective than to the median, but got {good}",
            "narrow the space around the best trial and explore it with quasi-random search",
        )


def _boundaries(space: Mapping[str, Hyperparameter], observed: Sequence[Observation], goal: Goal) -> Iterator[_Finding]:
    """Whether the best trial lies inside."""
    costs = _costs(observed, goal)
    if min(costs, default=math.inf) == math.inf:
        return
    best = observed[int(np.argmin(costs))].values
    for name, hyperparameter in space.items():
        if where := _boundary(hyperparameter, best[name]):
            yield _Finding(
                name,
                "Bayesian optimization needs a space that comfortably contains the best trial, but its "
                f"{name}={_text(best[name])} is {where}",
                "expand the range and explore again",
            )


def _boundary(hyperparameter: Hyperparameter, value: Value) -> str | None:
    """Near which end of its range the value lies, in words; None where it lies inside."""
    unit = hyperparameter.to_unit(value)
    num_values = hyperparameter.num_values
    if unit is None or isinstance(hyperparameter, Categorical) or (num_values is not None and num_values < 3):
        return None
    if isinstance(hyperparameter, Discrete):
        low, high = hyperparameter.values[0], hyperparameter.values[-1]
    else:
        low, high = hyperparameter.low, hyperparameter.high
    # Few values have wide bins, whose middles are never near an end: there the end itself counts.
    if unit < MARGIN or value == low:
        side, end = "low", low
    elif unit > 1 - MARGIN or value == high:
        side, end = "high", high
    else:
        return None
    scale = hyperparameter.scale if isinstance(hyperparameter, Float | Int) else "linear"
    return f"at or near the {side} end {_text(end)} of its range (in the outer {MARGIN:.0%} on its {scale} scale)"


def _text(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
