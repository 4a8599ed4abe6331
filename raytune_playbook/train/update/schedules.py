"""Learning rate schedules as pure functions of the step (rule SC1).

Playbook: "What is the best learning rate decay schedule?" and "Learning rate warmup".
"""

from __future__ import annotations

import math
from collections.abc import Callable

from raytune_playbook.errors import SpecError
from raytune_playbook.train.workload import Values

SCHEDULES: dict[str, Callable[[float], float] | None] = {
    "constant": None,
    "linear": lambda left: left,
    # sin(x / 2)^2 = (1 - cos x) / 2, and stays exact where the difference would cancel
    "cosine": lambda left: math.sin(math.pi / 2 * left) ** 2,
}
"""The height of a decay by the share of it that is still to come, from 1 to 0; None for no decay."""


def total_steps(values: Values, max_train_steps: int) -> int:
    """Warmup is prepended: a trial trains for its warmup and then for ``max_train_steps``."""
    return values.integer("warmup_steps") + max_train_steps


def schedule(values: Values, max_train_steps: int) -> Callable[[int], float]:
    """The learning rate of each step 0..total_steps - 1.

    - warmup: a straight line from 0, before the first step, to the base learning rate at step ``warmup_steps``; so no
      step is spent at a rate of 0.
    - ``constant``: the base learning rate.
    - ``linear``: constant, then over the last ``decay_steps`` a straight line to ``final_factor`` times the base, which
      is reached after the last step; so no step is spent at a final rate of 0.
    - ``cosine``: constant, then over the last ``decay_steps`` half a cosine to ``final_factor`` times the base.

    ``decay_steps`` of None are all ``max_train_steps``: no constant part.

    Raises:
        SpecError: an unknown schedule, a rate or factor out of its range, or a decay or warmup of a length that cannot
            be.
    """
    decay = SCHEDULES[values.choice("schedule", SCHEDULES)]
    base, warmup_steps = values.number("learning_rate"), values.integer("warmup_steps")
    of_decay = values.unused() if decay is None else values
    final_factor = of_decay.number("final_factor")
    decay_steps = max_train_steps if of_decay["decay_steps"] is None else of_decay.integer("decay_steps")
    if not 0 <= base < math.inf:
        raise SpecError(f"learning_rate must be at least 0 and finite, but got {base:g}; correct it.")
    if not 0 <= final_factor <= 1:
        raise SpecError(f"final_factor must be from 0 to 1, but got {final_factor:g}; it is a share of learning_rate.")
    if not 0 < decay_steps <= max_train_steps:
        raise SpecError(
            f"decay_steps: 0 < decay_steps <= max_train_steps must hold, but got {decay_steps} with "
            f"max_train_steps={max_train_steps}; shorten the decay."
        )
    if warmup_steps < 0:
        raise SpecError(f"warmup_steps must not be negative, but got {warmup_steps}; use 0 for none.")

    def learning_rate(step: int) -> float:
        if step < warmup_steps:
            return base * (step + 1) / (warmup_steps + 1)
        steps_left = warmup_steps + max_train_steps - step
        if decay is None or steps_left >= decay_steps:
            return base
        return base * (final_factor + (1 - final_factor) * decay(steps_left / decay_steps))

    return learning_rate
