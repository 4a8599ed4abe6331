"""The Ray Tune searcher of a round, and what it shares with every searcher that hands out points in a fixed order.

What both owe to Ray Tune's contract: a limit of concurrent trials of their own (the `ConcurrencyLimiter` that Tune
would wrap around them waits forever for trials that a restart has renamed), and `Searcher.FINISHED` at the end (where
None, with no trial live, would block Tune's loop for minutes).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

from raytune_playbook.search.suggest import values_at
from raytune_playbook.study.study import StudySpec


def interleaved(studies: Sequence[StudySpec], done: set[tuple[str, int]]) -> list[tuple[StudySpec, int]]:
    """Trials that are left, index by index over all studies, so that the arms progress together."""
    most = max((study.num_trials for study in studies), default=0)
    return [
        (study, index)
        for index in range(most)
        for study in studies
        if index < study.num_trials and (study.name, index) not in done
    ]


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


class RoundSearch(InOrderSearch):
    """Suggests a round's trials in a fixed order that depends on nothing but the studies (rules QR1 to QR4, QR6).

    Args:
        todo: (study, index) in the order in which they are to run.
        max_concurrent: trials that may be live at once; may be raised at any time, as gangs join.
    """

    def __init__(self, todo: Sequence[tuple[StudySpec, int]], max_concurrent: int) -> None:
        super().__init__(max_concurrent)
        self._todo = deque(todo)

    def stop(self) -> None:
        """Suggest no more trials."""
        self._todo.clear()

    def _is_finished(self) -> bool:
        return not self._todo

    def _next(self) -> dict[str, Any]:
        study, index = self._todo.popleft()
        return {"study": study.name, "index": index, "values": values_at(study, index)}

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        return True  # the number of gangs decides, not Tune's figure

    def save(self, checkpoint_path: str) -> None:
        """Nothing: every `run` and `resume` starts from the trials that have no final record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""
