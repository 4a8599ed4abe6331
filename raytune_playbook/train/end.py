"""How a trial's training ended; apart from the loop, so that who only hears of it need not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raytune_playbook.records.types import Outcome, Training
from raytune_playbook.study.checks.disk_price import CheckpointSize


@dataclass(frozen=True)
class End:
    """How a trial ended; ``outcome`` is None when it was stopped from outside.

    Fields:
        training: what it came to, by this worker's clock.
        reason: why it is infeasible.
        first_step: how many steps had been trained when this attempt began.
        step_s, evaluation_s: mean seconds of a step and of an evaluation of both splits, the first of each left out;
            None where there was no second.
        metrics: what evaluations of each split have reported, each with its newest value.
        read: the hyperparameters whose values were asked for.
        checkpoint: the size of its latest checkpoint, or in the check before trial 0 of what one would be; None where
            there is none, and on all workers but the first.
    """

    outcome: Outcome | None
    training: Training
    reason: str | None = None
    first_step: int = 0
    step_s: float | None = None
    evaluation_s: float | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    read: frozenset[str] = frozenset()
    checkpoint: CheckpointSize | None = None
