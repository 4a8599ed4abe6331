"""The Ray Tune searcher of a round, and the order in which a round runs its trials."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from raytune_playbook.search.suggest import values_at
from raytune_playbook.searchers.in_order import InOrderSearch
from raytune_playbook.study.study import StudySpec
from raytune_playbook.study.trial import trial_key


@dataclass(frozen=True)
class PlannedTrial:
    """A trial that is to run; ``repeat`` is 0, or the number of a retraining of the same point."""

    study: StudySpec
    index: int
    repeat: int = 0

    @property
    def id(self) -> tuple[str, str]:
        """As records name it."""
        return self.study.name, trial_key(self.index, self.repeat)


def interleaved(studies: Sequence[StudySpec], done: Collection[tuple[str, str]]) -> list[PlannedTrial]:
    """Trials that are left, index by index over all studies, so that the arms progress together.

    Args:
        studies: of the round.
        done: (study, key) of those that have ended.
    """
    most = max((study.num_trials for study in studies), default=0)
    planned = [PlannedTrial(study, index) for index in range(most) for study in studies if index < study.num_trials]
    return [trial for trial in planned if trial.id not in done]


def repeats(
    points: Iterable[tuple[StudySpec, int]], num_repeats: int, done: Collection[tuple[str, str]]
) -> list[PlannedTrial]:
    """Retrainings of points that are left, all points once, then all of them again (rule AD1).

    Args:
        points: (study, index) of each.
        num_repeats: of each point; they are numbered from 1, for the first run is repeat 0.
        done: (study, key) of those that have ended.
    """
    chosen = list(points)
    planned = [PlannedTrial(study, index, repeat) for repeat in range(1, num_repeats + 1) for study, index in chosen]
    return [trial for trial in planned if trial.id not in done]


def num_by_study(trials: Iterable[PlannedTrial]) -> Counter[str]:
    """How many of them each study has."""
    return Counter(trial.study.name for trial in trials)


class RoundSearch(InOrderSearch):
    """Suggests a round's trials in a fixed order that depends on nothing but the studies (rules QR1 to QR4, QR6).

    Args:
        todo: in the order in which they are to run.
        max_concurrent: trials that may be live at once; may be raised at any time, as gangs join.
    """

    max_concurrent: int

    def __init__(self, todo: Sequence[PlannedTrial], max_concurrent: int) -> None:
        super().__init__(max_concurrent)
        self._todo = deque(todo)

    def stop(self) -> None:
        """Suggest no more trials."""
        self._todo.clear()

    def _is_finished(self) -> bool:
        return not self._todo

    def _next(self) -> dict[str, Any]:
        trial = self._todo.popleft()
        values = values_at(trial.study, trial.index)
        return {"study": trial.study.name, "index": trial.index, "repeat": trial.repeat, "values": values}

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        return True  # the number of gangs decides, not Tune's figure

    def save(self, checkpoint_path: str) -> None:
        """Nothing: every `run` and `resume` starts from the trials that have no final record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""
