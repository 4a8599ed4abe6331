"""The terminal during a run: one line that says how the round stands, and nothing else.

On a terminal the line is rewritten in place; elsewhere a line is printed now and then.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.engine.driver.recorder import Tally
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.formatting import duration_text
from raytune_playbook.study.settings import Objective

PRINT_EVERY_S = 30.0


class ProgressLine:
    """Shows a tally; as a context manager it owns the terminal's last line.

    Args:
        console: where to.
        estimate_s: of the whole run, from the check before trial 0; None where there is none.
    """

    def __init__(self, console: Console, objective: Objective, *, num_left: int, estimate_s: float | None) -> None:
        self._console, self._objective = console, objective
        self._num_left, self._estimate_s = num_left, estimate_s
        self._started_s = time.monotonic()
        self._printed_s = self._started_s
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

    def update(self, tally: Tally, best: Trial | None, *, has_workers: bool) -> None:
        """Show how the round stands."""
        line = self.line(tally, best, has_workers=has_workers)
        if self._live is not None:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"))
        elif time.monotonic() - self._printed_s >= PRINT_EVERY_S:
            self._printed_s = time.monotonic()
            self.say(line)

    def say(self, sentence: str) -> None:
        """Print a sentence that stays, above the line."""
        self._console.print(Text(sentence), soft_wrap=True)

    def line(self, tally: Tally, best: Trial | None, *, has_workers: bool) -> str:
        """``7/24 trials | best validation error 0.01944 (batch_norm=sync 00002) | 1 infeasible | about 50 s left``."""
        parts = [f"{tally.num()}/{tally.num_trials} trials"]
        if best is not None and best.objective is not None:
            parts.append(f"best {self._objective.name} {best.objective:.4g} ({best.study} {best.key})")
        counts = {outcome: tally.num(outcome) for outcome in (Outcome.INFEASIBLE, Outcome.FAILED)}
        parts += [f"{count} {outcome}" for outcome, count in counts.items() if count]
        if tally.num() < tally.num_trials:  # else the gangs may have gone, and none is to come
            left_s = self._left_s(tally)
            if not has_workers:
                parts.append("workers are starting")
            elif left_s is not None:
                parts.append(f"about {duration_text(round(left_s))} left")
        return " | ".join(parts)

    def _left_s(self, tally: Tally) -> float | None:
        num_done, elapsed_s = len(tally.finished), time.monotonic() - self._started_s
        if num_done:
            return elapsed_s / num_done * max(0, self._num_left - num_done)
        return None if self._estimate_s is None else max(0.0, self._estimate_s - elapsed_s)
