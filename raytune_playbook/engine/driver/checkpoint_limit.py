"""Keeps the checkpoints of a round within ``Budget.max_checkpoint_gib`` while it runs."""

from __future__ import annotations

from collections.abc import Callable

from raytune_playbook.analysis.judging.kept_checkpoints import to_delete
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.pool.events import AttemptEnded, Event
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.settings import GIB, Budget
from raytune_playbook.train.saved.checkpoints import checkpoints_folder


class CheckpointLimit:
    """Deletes checkpoints of trials that have ended, the worst first, where they and those that run have no room.

    Room is kept for as many trials as have run at once, or were cut off, at the most that one of them takes.

    Args:
        store, recorder, budget: of the round.
        running_bytes: the most that trials take which run at once, by the check before trial 0; 0 where it is not
            known.
    """

    def __init__(self, store: RoundStore, recorder: Recorder, budget: Budget, running_bytes: int) -> None:
        self._store, self._recorder, self._budget = store, recorder, budget
        self._running_bytes = running_bytes
        self._peak_bytes = self._num_running = 0
        self._is_due = True  # an earlier run may have been killed between a trial's end and this

    def heard(self, event: Event) -> None:
        """A trial may have ended."""
        if isinstance(event, AttemptEnded) and event.is_final:
            self._is_due = True
            end = event.ended.end
            if end is not None and end.checkpoint is not None:
                self._peak_bytes = max(self._peak_bytes, end.checkpoint.peak_bytes(self._budget))

    def keep(self, num_gangs: int, may_delete: Callable[[], None]) -> None:
        """Delete what has no room.

        Args:
            num_gangs: that there are now.
            may_delete: raises where the round's claim was lost.

        Raises:
            StorageFailure: it cannot be deleted, or that it was cannot be recorded.
        """
        limit_gib = self._budget.max_checkpoint_gib
        if limit_gib is None or not self._is_due:
            return
        trials = tuple(self._recorder.tally.trials.values())
        num_begun = sum(trial.outcome is None for trial in trials)
        self._num_running = max(self._num_running, num_gangs, num_begun)
        running_bytes = max(self._running_bytes, self._num_running * self._peak_bytes)
        capacity_bytes = int(limit_gib * GIB) - running_bytes
        for trial in reversed(to_delete(trials, self._recorder.objective, capacity_bytes)):
            may_delete()
            self._store.storage.delete_folder(f"{self._store.name}/{checkpoints_folder(*trial.id)}")
            self._recorder.checkpoints_deleted(trial)
        self._is_due = False
