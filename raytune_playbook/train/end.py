"""How a trial's training ended; apart from the loop, so that who only hears of it need not import torch."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.records.types import Outcome


@dataclass(frozen=True)
class End:
    """How a trial ended; ``outcome`` is None when it was stopped from outside.

    Fields:
        train_s, wait_s: seconds in all, and of waiting for data.
        step_s, evaluation_s: mean seconds of a step and of an evaluation of both splits, the first of each left out;
            None where there was no second.
        reason: why it is infeasible.
    """

    outcome: Outcome | None
    num_steps: int
    num_parameters: int
    train_s: float
    wait_s: float
    step_s: float | None = None
    evaluation_s: float | None = None
    reason: str | None = None
