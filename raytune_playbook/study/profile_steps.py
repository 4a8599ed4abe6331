"""Which training steps a profiler is to trace (rule PI4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from raytune_playbook.errors import SpecError


@dataclass(frozen=True)
class ProfileSteps:
    """Steps ``first`` to ``last`` of trial 0 of each study, counted from 1, both included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str, max_train_steps: int) -> Self:
        """Read ``"10-12"``.

        Args:
            max_train_steps: how many steps a trial has.

        Raises:
            SpecError: it is not so written, or names steps that there are not.
        """
        match = re.fullmatch(r"([0-9]+)-([0-9]+)", text)
        if match is None:
            raise SpecError(
                f"--profile: the first and the last step to trace, such as 10-12, are needed, but got {text!r}; "
                "give two numbers."
            )
        first, last = int(match[1]), int(match[2])
        if not 1 <= first <= last <= max_train_steps:
            raise SpecError(
                f"--profile: 1 <= first <= last <= max_train_steps must hold, but got {first} and {last} with "
                f"{max_train_steps} steps; choose steps that are trained."
            )
        return cls(first, last)
