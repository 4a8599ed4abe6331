"""How a learning rate schedule is extended to a longer training, and not scaled (rule LN5).

The playbook's "Deciding how long to train when training is compute-bound", Round 2: use the extra steps to extend the
period of training at a high learning rate. A linear decay keeps its length, and the constant part before it grows; a
cosine keeps its base learning rate and stretches. Warmup carries over as it is, and is not counted in the steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from raytune_playbook.analysis.wording import count_text
from raytune_playbook.study.frozen import Value

SMALL_SHARE = 0.1
"""A learning rate below this share of the base is small: much of a training at it is spent in vain."""


def extended_schedule(values: Mapping[str, Value], short_steps: int, long_steps: int) -> dict[str, Value]:
    """A trial's hyperparameters for a longer training: its ``decay_steps`` as its schedule asks for, all others as is.

    - ``constant``: nothing changes.
    - ``linear``: the decay has the same number of steps as before, which must now be stated where it was the whole
      training; what is added is trained at the base learning rate.
    - ``cosine``: the decay is as large a part of the training as before; None stays None, the whole of it.

    Args:
        values: of the shorter training, by name.
        short_steps: its ``max_train_steps``.
        long_steps: of the longer one.
    """
    decay_steps, new = values.get("decay_steps"), dict(values)
    if values.get("schedule") == "linear" and decay_steps is None:
        new["decay_steps"] = short_steps
    elif values.get("schedule") == "cosine" and isinstance(decay_steps, int):
        new["decay_steps"] = min(long_steps, max(1, round(decay_steps * long_steps / short_steps)))
    return new


def num_small_steps(values: Mapping[str, Value], max_train_steps: int) -> int:
    """How many steps of a training are at less than `SMALL_SHARE` of the base learning rate; warmup is not counted."""
    kind, floor = values.get("schedule"), values.get("final_factor")
    floor = float(floor) if isinstance(floor, int | float) else 0.0
    decay_steps = values.get("decay_steps")
    num = decay_steps if isinstance(decay_steps, int) else max_train_steps
    left = np.arange(1, num + 1) / num  # as the last step has it, up to the first of the decay
    match kind:
        case "linear":
            height = left
        case "cosine":
            height = np.sin(math.pi / 2 * left) ** 2
        case _:
            return 0
    return int((floor + (1 - floor) * height < SMALL_SHARE).sum())


def small_rates_text(values: Mapping[str, Value], short_steps: int, long_steps: int) -> str | None:
    """A warning where extra steps fall at too small a learning rate; None where none does.

    Args:
        values: of the shorter training.
        short_steps, long_steps: ``max_train_steps`` of it, and of the longer one.
    """
    extra = long_steps - short_steps
    small = num_small_steps(extended_schedule(values, short_steps, long_steps), long_steps)
    small -= num_small_steps(values, short_steps)
    if small <= 0:
        return None
    return (
        f"Of the {count_text(extra)} extra steps the stretched {values['schedule']} schedule spends "
        f"{count_text(small)} ({small / extra:.0%}) at less than {SMALL_SHARE:.0%} of the base learning rate; a linear "
        "decay that keeps its length spends none there (LN5)."
    )


def extension_text(values: Mapping[str, Value], short_steps: int, long_steps: int) -> str:
    """What becomes of the schedule, in a sentence."""
    new = extended_schedule(values, short_steps, long_steps)
    decay = new.get("decay_steps")
    match values.get("schedule"):
        case "linear" if isinstance(decay, int):
            return (
                f"The linear decay keeps its {count_text(decay)} steps, and the constant part before it grows from "
                f"{count_text(short_steps - decay)} to {count_text(long_steps - decay)} (LN5)."
            )
        case "cosine":
            over = long_steps if decay is None else decay
            return f"The cosine keeps its base learning rate and stretches over {_steps(over)} (LN5)."
        case _:
            return f"The learning rate stays constant for {_steps(long_steps)}."


def _steps(number: Value) -> str:
    return f"{number:,} steps" if isinstance(number, int) else "all steps"
