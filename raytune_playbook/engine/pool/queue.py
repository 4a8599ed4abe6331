"""The queue of trials that wait for a gang, and what becomes of each: retried, ended, or given back to Tune.

A plain data structure, which the pool's event loop alone touches.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace

from raytune_playbook.engine.gang.changes import Changes
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName, Cause, TrialKey
from raytune_playbook.engine.gang.retry import is_counted, is_retried
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.pool.events import Event, Events
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.trial import TrialSpec


@dataclass(eq=False)
class QueuedTrial:
    """A trial in the queue, on a gang, or ended.

    Fields:
        is_recorded: False for the check before trial 0.
        num_attempts: attempts that were begun.
        num_counted: attempts in a row that ended in a way that counts, none of which came further than the one before.
        reported_step, counted_step: the furthest of which measurements have come, and that when one last counted.
        is_to_stop: it was asked to end.
        final: how it ended for good.
    """

    round_id: str
    spec: TrialSpec
    is_recorded: bool
    num_attempts: int = 0
    num_counted: int = 0
    reported_step: int = 0
    counted_step: int = -1
    is_to_stop: bool = False
    final: AttemptEnd | None = None

    @property
    def key(self) -> TrialKey:
        return (self.spec.study, self.spec.key)

    @property
    def attempt(self) -> AttemptName:
        """The one that was begun last."""
        return AttemptName(self.round_id, self.key, self.num_attempts)


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
class OpenRound:
    """A round that runs now.

    Fields:
        num_left: trials that have not ended for good, those included that Tune has yet to submit.
        events: what its driver, and no other, is to hear.
    """

    context: RoundContext
    num_left: int
    leases: Leases
    events: Events


class TrialQueue:
    """The trials of all open rounds."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._rounds: dict[str, OpenRound] = {}
        self._waiting: deque[QueuedTrial] = deque()
        self._trials: dict[tuple[str, TrialKey], QueuedTrial] = {}

    # ------------------------------------------------------------------ rounds

    def open(self, context: RoundContext, num_left: int) -> None:
        """Make a round known; ``num_left`` trials of it will be asked for."""
        leases, events = Leases(num_trials=num_left), Events(self._changes)
        self._rounds[context.round_id] = OpenRound(context, num_left, leases, events)

    def stop(self, round_id: str) -> list[QueuedTrial]:
        """End a round's waiting trials as stopped, and take no more; returns those that are on gangs."""
        if (round_ := self._rounds.get(round_id)) is not None:
            round_.num_left = round_.leases.num_trials = 0
        trials = [trial for trial in self._trials.values() if trial.round_id == round_id]
        return [trial for trial in trials if not self.stop_trial(trial)]

    def close(self, round_id: str) -> None:
        """Forget a round, and all that its driver has yet to hear."""
        self._rounds.pop(round_id, None)
        self._trials = {name: trial for name, trial in self._trials.items() if name[0] != round_id}

    def round(self, round_id: str) -> OpenRound | None:
        """A round that has not been closed."""
        return self._rounds.get(round_id)

    def context(self, round_id: str) -> RoundContext | None:
        """An open round's workload and data."""
        round_ = self._rounds.get(round_id)
        return round_.context if round_ else None

    def emit(self, trial: QueuedTrial, event: Event) -> int | None:
        """Tell the driver of a trial's round, and return the event's number.

        None where there is nobody to tell: of a round that was closed, or a trial that is not recorded.
        """
        round_ = self._rounds.get(trial.round_id)
        return round_.events.emit(event) if round_ is not None and trial.is_recorded else None

    def emit_to_all(self, event: Event) -> None:
        """Tell the drivers of all rounds."""
        for round_ in self._rounds.values():
            round_.events.emit(event)

    @property
    def num_left(self) -> int:
        """Trials of all open rounds that have not ended for good, those included that Tune has yet to submit.

        Those of the check come before a round's own.
        """
        waiting = (trial for trial in self._trials.values() if not trial.is_recorded and trial.final is None)
        checks = Counter(trial.round_id for trial in waiting)
        return sum(max(round_.num_left, checks[name]) for name, round_ in self._rounds.items())

    # ------------------------------------------------------------------ trials

    def submit(self, round_id: str, study: str, index: int, repeat: int = 0) -> None:
        """Put a trial into the queue; a round that has been closed or stopped takes none."""
        round_ = self._rounds.get(round_id)
        if round_ is not None and round_.num_left:
            round_.leases.num_submitted += 1
            self._add(QueuedTrial(round_id, suggest(round_.context.studies[study], index, repeat), is_recorded=True))

    def try_out(self, round_id: str, spec: TrialSpec) -> None:
        """Put a trial into the queue that is not recorded."""
        self._add(QueuedTrial(round_id, spec, is_recorded=False))

    def find(self, round_id: str, key: TrialKey) -> QueuedTrial | None:
        """A trial that was submitted."""
        return self._trials.get((round_id, key))

    def next(self) -> QueuedTrial | None:
        """Take the trial whose turn it is."""
        return self._waiting.popleft() if self._waiting else None

    def stop_trial(self, trial: QueuedTrial) -> bool:
        """Whether a trial that is to stop has ended, as one does that waits; one on a gang is still to be told."""
        trial.is_to_stop = True
        if trial in self._waiting:
            self._waiting.remove(trial)
            self._end(trial, AttemptEnd(Cause.STOPPED))
        return trial.final is not None

    def settle(self, trial: QueuedTrial, ended: AttemptEnd) -> bool:
        """Apply the retry rule to an attempt that ended; True when the trial has ended for good.

        Another gang may take the retry. A round that was closed or stopped wants none, nor does a trial that was. A
        trial that comes further from attempt to attempt goes on: what ends them is not at one place in it.
        """
        if is_counted(ended.cause):
            trial.num_counted = 1 if trial.reported_step > trial.counted_step else trial.num_counted + 1
            trial.counted_step = trial.reported_step
        round_ = self._rounds.get(trial.round_id)
        is_wanted = round_ is not None and (round_.num_left > 0 or not trial.is_recorded) and not trial.is_to_stop
        if is_wanted and is_retried(ended.cause, num_counted=trial.num_counted, is_check=not trial.is_recorded):
            self._waiting.appendleft(trial)
            return False
        self._end(trial, ended)
        return True

    def _end(self, trial: QueuedTrial, ended: AttemptEnd) -> None:
        trial.final = replace(ended, num_attempts=trial.num_attempts)
        round_ = self._rounds.get(trial.round_id)
        if trial.is_recorded and round_ is not None:
            round_.num_left = max(0, round_.num_left - 1)

    def _add(self, trial: QueuedTrial) -> None:
        self._trials[trial.round_id, trial.key] = trial
        self._waiting.append(trial)
