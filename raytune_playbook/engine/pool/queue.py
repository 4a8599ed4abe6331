"""The queue of trials that wait for a gang, and what becomes of each: retried, ended, or given back to Tune.

A plain data structure, which the pool's event loop alone touches.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from raytune_playbook.engine.gang.messages import AttemptEnd, Cause, TrialKey
from raytune_playbook.engine.gang.retry import is_counted, is_retried
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.trial import TrialSpec


@dataclass(eq=False)
class QueuedTrial:
    """A trial in the queue, on a gang, or ended.

    Fields:
        is_recorded: False for the check before trial 0.
        num_attempts, num_counted: attempts that were begun, and those that ended in a way that counts.
        final: how it ended for good.
    """

    round_id: str
    spec: TrialSpec
    is_recorded: bool
    num_attempts: int = 0
    num_counted: int = 0
    final: AttemptEnd | None = None

    @property
    def key(self) -> TrialKey:
        return (self.spec.study, self.spec.key)


@dataclass
class Leases:
    """When Tune may hear that a trial has ended: when all trials that it keeps live have reached this queue.

    Tune hands a freed actor to a trial whose own actor is still starting, kills the half-started process, and starts
    another for the next trial: with trials shorter than an actor's start, a process start for every trial. As long as
    no trial waits for an actor, the freed one goes to the next trial, and no process is started at all.
    """

    num_trials: int
    num_slots: int = 1
    num_submitted: int = 0
    num_returned: int = 0

    def may_return(self) -> bool:
        return self.num_submitted - self.num_returned >= min(self.num_slots, self.num_trials - self.num_returned)


@dataclass
class _OpenRound:
    context: RoundContext
    num_left: int
    leases: Leases


class TrialQueue:
    """The trials of all open rounds."""

    def __init__(self) -> None:
        self._rounds: dict[str, _OpenRound] = {}
        self._waiting: deque[QueuedTrial] = deque()
        self._trials: dict[tuple[str, TrialKey], QueuedTrial] = {}

    # ------------------------------------------------------------------ rounds

    def open(self, context: RoundContext, num_left: int) -> None:
        """Make a round known; ``num_left`` trials of it will be asked for."""
        self._rounds[context.round_id] = _OpenRound(context, num_left, Leases(num_trials=num_left))

    def stop(self, round_id: str) -> list[QueuedTrial]:
        """End a round's waiting trials as stopped, and take no more; returns those that are on gangs."""
        round_ = self._rounds[round_id]
        round_.num_left = round_.leases.num_trials = 0
        trials = [trial for trial in self._trials.values() if trial.round_id == round_id]
        return [trial for trial in trials if trial.final is None and not self.drop(trial)]

    def close(self, round_id: str) -> None:
        """Forget a round."""
        self._rounds.pop(round_id, None)
        self._trials = {name: trial for name, trial in self._trials.items() if name[0] != round_id}

    def context(self, round_id: str) -> RoundContext | None:
        """An open round's workload and data."""
        round_ = self._rounds.get(round_id)
        return round_.context if round_ else None

    def leases(self, round_id: str) -> Leases | None:
        """An open round's leases."""
        round_ = self._rounds.get(round_id)
        return round_.leases if round_ else None

    def set_num_slots(self, num_slots: int) -> None:
        """How many trials Tune keeps live at once from now on."""
        for round_ in self._rounds.values():
            round_.leases.num_slots = num_slots

    @property
    def num_left(self) -> int:
        """Trials of all open rounds that have not ended for good, those included that Tune has yet to submit."""
        unrecorded = sum(not trial.is_recorded and trial.final is None for trial in self._trials.values())
        return unrecorded + sum(round_.num_left for round_ in self._rounds.values())

    # ------------------------------------------------------------------ trials

    def submit(self, round_id: str, study: str, index: int) -> None:
        """Put a trial into the queue; a round that has been closed or stopped takes none."""
        round_ = self._rounds.get(round_id)
        if round_ is not None and round_.num_left:
            round_.leases.num_submitted += 1
            self._add(QueuedTrial(round_id, suggest(round_.context.studies[study], index), is_recorded=True))

    def try_out(self, round_id: str, spec: TrialSpec) -> None:
        """Put a trial into the queue that is not recorded."""
        self._add(QueuedTrial(round_id, spec, is_recorded=False))

    def find(self, round_id: str, key: TrialKey) -> QueuedTrial | None:
        """A trial that was submitted."""
        return self._trials.get((round_id, key))

    def next(self) -> QueuedTrial | None:
        """Take the trial whose turn it is."""
        return self._waiting.popleft() if self._waiting else None

    def drop(self, trial: QueuedTrial) -> bool:
        """End a waiting trial as stopped; False when it is not waiting."""
        if trial not in self._waiting:
            return False
        self._waiting.remove(trial)
        trial.final = AttemptEnd(Cause.STOPPED)
        return True

    def settle(self, trial: QueuedTrial, ended: AttemptEnd) -> bool:
        """Apply the retry rule to an attempt that ended; True when the trial has ended for good.

        Another gang may take the retry. A round that was closed or stopped wants none.
        """
        trial.num_counted += is_counted(ended.cause)
        round_ = self._rounds.get(trial.round_id)
        is_wanted = round_ is not None and (round_.num_left > 0 or not trial.is_recorded)
        if is_wanted and is_retried(ended.cause, num_counted=trial.num_counted, is_check=not trial.is_recorded):
            self._waiting.appendleft(trial)
            return False
        trial.final = ended
        if trial.is_recorded and round_ is not None:
            round_.num_left = max(0, round_.num_left - 1)
        return True

    def _add(self, trial: QueuedTrial) -> None:
        self._trials[trial.round_id, trial.key] = trial
        self._waiting.append(trial)
