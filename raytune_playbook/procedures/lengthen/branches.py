"""A long run at a constant learning rate whose checkpoints are branched into decays of several lengths.

Up to the step at which its decay begins, every training of one configuration is the same; so a single run at the
constant rate has the beginnings of all of them, and each decay costs its own steps alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.analysis.judging.objective import Best, trial_objective
from raytune_playbook.errors import SpecError
from raytune_playbook.records.columns import STEP
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective

DECAY_SHARES = (0.1, 0.2, 0.4)
"""Of the whole length: the decays that are compared where none are named."""

TOTAL_SHARES = (0.5, 1.0)
"""Of the whole length: the trainings that are branched off."""

DECAYS = ("linear", "cosine")


@dataclass(frozen=True)
class Branch:
    """One training: constant, then a decay.

    Fields:
        max_train_steps: in all, warmup not counted.
        decay_steps: the last of them.
        from_step: of the checkpoint that it goes on from, warmup counted; 0 where there is none so early.
    """

    max_train_steps: int
    decay_steps: int
    from_step: int


@dataclass(frozen=True)
class BranchEnd:
    """What a branch came to.

    Fields:
        objective: over the steps after its branch alone: what was reached before it no decay has reached. None where it
            could not be trained.
        whole_s: seconds of training from its first step on.
        own_s: of them those that were trained for it alone.
        best_step: at which the objective was reached, warmup counted; None with it.
    """

    branch: Branch
    objective: float | None
    whole_s: float
    own_s: float
    best_step: int | None = None


def decays_of(lengths: Sequence[int] | None, max_train_steps: int) -> tuple[int, ...]:
    """The decay lengths to compare, in order.

    Raises:
        SpecError: one is no number of steps of the training.
    """
    if lengths is None:
        return tuple(dict.fromkeys(max(1, round(share * max_train_steps)) for share in DECAY_SHARES))
    for length in lengths:
        if not 0 < length < max_train_steps:
            raise SpecError(
                f"branch_decays: a decay is shorter than the training of {max_train_steps} steps, but got {length}; "
                "name lengths in steps, such as 100,200."
            )
    return tuple(sorted(set(lengths)))


def planned(decays: Sequence[int], max_train_steps: int, warmup_steps: int, interval_steps: int) -> tuple[Branch, ...]:
    """Every decay at the end of every length of training that is longer than it.

    Each goes on from the last evaluation before its decay: where that is earlier, the steps in between are trained at
    the constant rate once more.

    Args:
        interval_steps: of evaluations, which have checkpoints.
    """
    totals = dict.fromkeys(max(1, round(share * max_train_steps)) for share in TOTAL_SHARES)
    return tuple(
        Branch(total, decay, (warmup_steps + total - decay) // interval_steps * interval_steps)
        for total in totals
        for decay in decays
        if decay < total
    )


def constant_values(values: Mapping[str, Value]) -> dict[str, Value]:
    """The configuration of the run that is branched."""
    return {**values, "schedule": "constant", "decay_steps": None}


def decaying_values(values: Mapping[str, Value]) -> dict[str, Value]:
    """That of the branches but for their decay lengths: the kind of decay is the configuration's own, or linear."""
    kind = values.get("schedule")
    return {**values, "schedule": kind if kind in DECAYS else "linear"}


def best_after(step: int, measurements: pa.Table | None, objective: Objective) -> Best | None:
    """A trial's objective over its evaluations after a step; over all of them after step 0, where nothing is shared."""
    if measurements is not None and step:
        measurements = measurements.filter(pc.greater(measurements[STEP], step))
    return trial_objective(measurements, objective)


def best_of(ends: Sequence[BranchEnd], *, is_minimized: bool) -> BranchEnd | None:
    """The best branch of the full length; None where none could be trained."""
    longest = max((end.branch.max_train_steps for end in ends), default=0)
    sign = 1.0 if is_minimized else -1.0
    there = [end for end in ends if end.objective is not None and end.branch.max_train_steps == longest]
    return min(there, key=lambda end: sign * (end.objective or 0.0), default=None)


def better_than_none(ends: Sequence[BranchEnd], constant: BranchEnd, objective: Objective) -> BranchEnd | None:
    """The best branch of the full length where it is better than the constant rate is anywhere; else None."""
    best = best_of(ends, is_minimized=objective.goal == "minimize")
    if best is None or best.objective is None or constant.objective is None:
        return best
    return best if objective.is_better(best.objective, constant.objective) else None


def whole_s(ends: Sequence[BranchEnd]) -> float:
    """Seconds that the branches would have taken, each trained from its first step."""
    return math.fsum(end.whole_s for end in ends)
