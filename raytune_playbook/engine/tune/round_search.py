"""The Ray Tune searcher of a round, and the order in which a round runs its trials."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from raytune_playbook.search.suggest import values_at
from raytune_playbook.searchers.in_order import InOrderSearch
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


def num_by_study(trials: Sequence[tuple[StudySpec, int]]) -> Counter[str]:
    """How many of them each study has."""
    return Counter(study.name for study, _ in trials)


class RoundSearch(InOrderSearch):
    """Suggests a round's trials in a fixed order that depends on nothing but the studies (rules QR1 to QR4, QR6).

    Args:
        todo: (study, index) in the order in which they are to run.
        max_concurrent: trials that may be live at once; may be raised at any time, as gangs join.
    """

    max_concurrent: int

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
