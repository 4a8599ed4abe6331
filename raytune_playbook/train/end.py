"""How a trial's training ended; apart from the loop, so that who only hears of it need not import torch."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.records.types import Outcome


@dataclass(frozen=True)
class End:
    """How a trial ended; ``outcome`` is None when it was stopped from outside.

    Fields:
        num_steps: steps whose effect the model holds, whichever attempt made them.
        train_s, wait_s: seconds in all, and of waiting for data: those of this attempt, and those of earlier ones up to
            the checkpoint from which it went on; what was lost after that is not counted.
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
    step_s: float | None = None
    evaluation_s: float | None = None
    reason: str | None = None
    first_step: int = 0
    best_checkpoint_step: int | None = None
