"""The terminal during a run: one line that says how the round stands, and nothing else.

On a terminal the line is rewritten in place; elsewhere a line is printed now and then.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import duration_text
from raytune_playbook.engine.driver.recorder import Tally
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.settings import Objective

PRINT_EVERY_S = 30.0


@dataclass(frozen=True)
class Left:
    """What is left of a run.

    Fields:
        num_gangs: those whose workers are there.
        seconds: None while that is not known.
    """

    num_gangs: int
    seconds: float | None


class ProgressLine:
    """Shows a tally; as a context manager it owns the terminal's last line.

    Args:
        console: where to.
    """

    def __init__(self, console: Console, objective: Objective) -> None:
        self._console, self._objective = console, objective
        self._printed_s = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, tally: Tally, best: Trial | None, left: Left) -> None:
        """Show how the round stands."""
        line = self.line(tally, best, left)
        if self._live is not None:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"))
        elif time.monotonic() - self._printed_s >= PRINT_EVERY_S:
            self._printed_s = time.monotonic()
            self.say(line)

    def say(self, sentence: str) -> None:
        """Print a sentence that stays, above the line."""
        self._console.print(Text(sentence), soft_wrap=True)

    def line(self, tally: Tally, best: Trial | None, left: Left) -> str:
        """``7/24 trials | about 50 s left | best validation error 0.01944 (batch_norm=sync/00002) | 1 infeasible``.

        On a terminal that is too narrow for all of it the last parts are left out.
        """
        parts = [f"{tally.num()}/{tally.num_trials} trials"]
        if tally.num() < tally.num_trials:  # else the gangs may have gone, and none is to come
            if not left.num_gangs:
                parts.append("workers are starting")
            elif left.seconds is not None:
                parts.append(f"about {duration_text(round(left.seconds))} left")
        if best is not None and best.objective is not None:
            parts.append(f"best {self._objective.name} {best.objective:.4g} ({best.text})")
        counts = {outcome: tally.num(outcome) for outcome in (Outcome.INFEASIBLE, Outcome.FAILED)}
        parts += [f"{count} {outcome}" for outcome, count in counts.items() if count]
        while len(" | ".join(parts)) > self._console.width and len(parts) > 2:
            parts.pop()
        return " | ".join(parts)
