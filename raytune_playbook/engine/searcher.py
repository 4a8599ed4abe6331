"""The Ray Tune Searcher that hands out a round's trials: studies interleaved, each by its own Halton sequence."""

from __future__ import annotations

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


class HaltonSearch(Searcher):
    """Suggests trials in a fixed order that depends on nothing but the studies (rules QR1 to QR4, QR6).

    Args:
        todo: (study, index) in the order in which they are to run.
        max_concurrent: trials that may be live at once; may be raised at any time, as gangs join.
    """

    def __init__(self, todo: Sequence[tuple[StudySpec, int]], max_concurrent: int) -> None:
        super().__init__()
        self._todo = deque(todo)
        self._live: set[str] = set()
        self.max_concurrent = max_concurrent

    def stop(self) -> None:
        """Suggest no more trials."""
        self._todo.clear()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        # FINISHED rather than None: with no trial live, None would block Tune's loop for minutes.
        if not self._todo:
            return Searcher.FINISHED  # type: ignore[return-value] # a sentinel that Ray's annotation leaves out
        if len(self._live) >= self.max_concurrent:
            return None
        study, index = self._todo.popleft()
        self._live.add(trial_id)
        return {"study": study.name, "index": index, "values": values_at(study, index)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._live.discard(trial_id)

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        return True  # the limit is ours; Tune wraps the searcher in another of its own otherwise

    def save(self, checkpoint_path: str) -> None:
        """Nothing: every `run` and `resume` starts from the trials that have no final record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""
