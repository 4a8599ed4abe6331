"""How a trial's training ended; apart from the loop, so that who only hears of it need not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raytune_playbook.records.types import Outcome


@dataclass(frozen=True)
class End:
    """How a trial ended; ``outcome`` is None when it was stopped from outside.

    Fields:
        num_steps: steps whose effect the model holds, whichever attempt made them.
        train_s: seconds in all: those of this attempt, and those of earlier ones up to the checkpoint from which it
            went on; what was lost after that is not counted, here and in all that follow.
        wait_s, transfer_s, sync_s, augment_s, compute_s: what this worker's training steps took, by part
            (`TIME_COLUMNS`), up to the last reporting interval.
        evaluations_s: what all evaluations took.
        stages: what this worker's input pipeline was busy with, in seconds by one of `PIPELINE_STAGES`.
        step_s, evaluation_s: mean seconds of a step and of an evaluation of both splits, the first of each left out;
            None where there was no second.
        reason: why it is infeasible.
        first_step: how many steps had been trained when this attempt began.
        best_checkpoint_step: of the best checkpoint that is kept; None where none is.
    """

    outcome: Outcome | None
    num_steps: int
    num_parameters: int
    train_s: float
    wait_s: float
    transfer_s: float = 0.0
    sync_s: float = 0.0
    augment_s: float = 0.0
    compute_s: float = 0.0
    evaluations_s: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    step_s: float | None = None
    evaluation_s: float | None = None
    reason: str | None = None
    first_step: int = 0
    best_checkpoint_step: int | None = None

    @property
    def input_s(self) -> float:
        """Seconds in which the training steps had no batch to compute on."""
        return self.wait_s + self.transfer_s + self.augment_s
