"""What every searcher shares that hands out points in a fixed order.

What it owes to Ray Tune's contract: a limit of concurrent trials of its own (the `ConcurrencyLimiter` that Tune would
wrap around it waits forever for trials that a restart has renamed), and `Searcher.FINISHED` at the end (where None,
with no trial live, would block Tune's loop for minutes).

A new searcher says in `_next` what comes next and in `_is_finished` when nothing does, and inherits the rest; what Tune
asks of it is tested by ``class TestMySearch(InOrderConformance)`` with a `make` of one line, see
``tests/searchers/conformance.py``. One that has a space converts it with `tune_space.TuneSpace`, and saves and restores
itself as `HaltonSearch` does.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ray.tune.search import Searcher


class InOrderSearch(Searcher):
    """Hands out what comes next, whatever the results, while fewer than ``max_concurrent`` trials are live."""

    def __init__(self, max_concurrent: int | None, metric: str | None = None, mode: str | None = None) -> None:
        super().__init__(metric=metric, mode=mode)
        self._live: set[str] = set()
        self.max_concurrent = max_concurrent

    @abstractmethod
    def _is_finished(self) -> bool:
        """Whether nothing is left."""

    @abstractmethod
    def _next(self) -> dict[str, Any]:
        """The next trial's configuration; taken from what is left."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if self._is_finished():
            return Searcher.FINISHED  # type: ignore[return-value] # a sentinel that Ray's annotation leaves out
        if self.max_concurrent is not None and len(self._live) >= self.max_concurrent:
            return None
        config = self._next()
        self._live.add(trial_id)
        return config

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._live.discard(trial_id)  # one that is not known was started before a restore
