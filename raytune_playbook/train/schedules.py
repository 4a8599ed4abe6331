"""Learning rate schedules as pure functions of the step (rule SC1).

Playbook: "What is the best learning rate decay schedule?" and "Learning rate warmup".
"""

from __future__ import annotations

import math
from collections.abc import Callable

from raytune_playbook.errors import SpecError
from raytune_playbook.train.workload import Values

SCHEDULES = ("constant", "linear", "cosine")


def total_steps(values: Values, max_train_steps: int) -> int:
    """Warmup is prepended: a trial trains for its warmup and then for ``max_train_steps``."""
    return values.int("warmup_steps") + max_train_steps


def schedule(values: Values, max_train_steps: int) -> Callable[[int], float]:
    """The learning rate of each step 0..total_steps - 1.

    - ``constant``: the base learning rate.
    - ``linear``: constant, then over the last ``decay_steps`` a straight line to ``final_factor`` times the base.
    - ``cosine``: half a cosine from the base to ``final_factor`` times the base.

    Raises:
        SpecError: an unknown schedule, or a decay or warmup of a length that cannot be.
    """
    kind = values.choice("schedule", SCHEDULES)
    base, final_factor = values.float("learning_rate"), values.float("final_factor")
    warmup_steps = values.int("warmup_steps")
    decay_steps = max_train_steps if values["decay_steps"] is None else values.int("decay_steps")
    if not 0 < decay_steps <= max_train_steps:
        raise SpecError(
            f"decay_steps: 0 < decay_steps <= max_train_steps must hold, but got {decay_steps} with "
            f"max_train_steps={max_train_steps}; shorten the decay."
        )
    if warmup_steps < 0:
        raise SpecError(f"warmup_steps must not be negative, but got {warmup_steps}; use 0 for none.")

    def learning_rate(step: int) -> float:
        if step < warmup_steps:  # the ramp reaches the base learning rate at step warmup_steps
            return base * (step + 1) / (warmup_steps + 1)
        after = step - warmup_steps
        if kind == "linear":
            share = min(1.0, (max_train_steps - after) / decay_steps)
        elif kind == "cosine":
            share = (1 + math.cos(math.pi * after / max_train_steps)) / 2
        else:
            return base
        return base * (final_factor + (1 - final_factor) * share)

    return learning_rate
