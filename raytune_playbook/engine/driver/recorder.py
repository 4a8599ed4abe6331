"""Turns the pool's events into records; lives in the driver, which alone writes them (DESIGN decision 5)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime

import pyarrow as pa

from raytune_playbook.analysis.evaluation_sample import best_on_all
from raytune_playbook.analysis.judging.best import best_of_each_study, best_trial
from raytune_playbook.analysis.judging.metrics import why_not_judged
from raytune_playbook.analysis.judging.objective import trial_objective
from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.engine.gang.messages import AttemptEnd, Cause, TrialKey
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, Event, NewMeasurements
from raytune_playbook.errors import StorageFailure
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.measurements import RunningMeasurements
from raytune_playbook.records.storage import first_line
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables.compaction import Compaction
from raytune_playbook.records.types import Attempt, Machine, Outcome, TrialRecord
from raytune_playbook.report import tensorboard
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.settings import Budget
from raytune_playbook.study.study import StudySpec
from raytune_playbook.study.trial import index_and_repeat
from raytune_playbook.train.end import End

FIRST_TRIALS = 3
LAST_TRIALS = 10
_FINAL: dict[Cause, Outcome] = {
    Cause.COMPLETED: Outcome.COMPLETED,
    Cause.INFEASIBLE: Outcome.INFEASIBLE,
    Cause.EXCEPTION: Outcome.FAILED,
    Cause.WORKER_DIED: Outcome.FAILED,
}


@dataclass
class Tally:
    """How a run of a round stands, for the display and for the decision to stop it.

    Fields:
        num_trials: that are to have ended in the end, earlier runs' included.
        is_of_repeats: whether they are retrainings, and not first runs.
        trials: every trial of the round that has a record, by (study, key).
        finished: outcomes in the order in which trials ended in this run.
        stopped: trials that were ended from outside in this run.
    """

    num_trials: int
    is_of_repeats: bool = False
    trials: dict[TrialKey, Trial] = field(default_factory=dict)
    finished: list[Outcome] = field(default_factory=list)
    stopped: set[TrialKey] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    new_failures: list[TrialKey] = field(default_factory=list)

    def num(self, outcome: Outcome | None = None) -> int:
        """Trials with this outcome, or with any; first runs or retrainings, as the run is about."""
        counted = [trial for trial in self.trials.values() if (trial.repeat > 0) == self.is_of_repeats]
        return sum(trial.outcome is not None and outcome in (None, trial.outcome) for trial in counted)

    def is_hopeless(self) -> bool:
        """The first few finished trials all failed, or most of the last ones: a bug, not hyperparameters."""
        first, last = self.finished[:FIRST_TRIALS], self.finished[-LAST_TRIALS:]
        if len(self.finished) >= FIRST_TRIALS and all(outcome == Outcome.FAILED for outcome in first):
            return True
        return len(last) == LAST_TRIALS and last.count(Outcome.FAILED) > LAST_TRIALS // 2


class Recorder:
    """Writes what the events say, one after another; `handle` returns when it stands in the storage.

    Args:
        store: of the round.
        studies: as the round has them now.
        budget: likewise; None for the recorded one.
        is_of_repeats: whether the run is about retrainings.

    Fields:
        objective: that its trials are judged by.
        tally: how the run stands.
    """

    def __init__(
        self,
        store: RoundStore,
        studies: Sequence[StudySpec],
        *,
        budget: Budget | None = None,
        is_of_repeats: bool = False,
    ) -> None:
        self._store = store
        self._studies = {study.name: study for study in studies}
        self._records: dict[TrialKey, TrialRecord] = {}  # of trials that run
        self._attempts_before: dict[TrialKey, int] = {}
        self._measurements: dict[TrialKey, RunningMeasurements] = {}
        self.objective = studies[0].objective
        recorded = store.round()
        self._budget, self._source_hash = budget or recorded.budget, recorded.workload.source_hash
        self._warned_of_code = False
        self.tally = Tally(sum(study.num_trials for study in studies), is_of_repeats)
        for trial in trials_of(store.trials()):
            self.tally.trials[trial.id] = trial
            self._attempts_before[trial.id] = len(trial.attempts)
        self._compaction = Compaction(store.storage, store.name, studies)
        self._machine = next((t.machine for t in self.tally.trials.values() if t.outcome and t.machine.torch), None)

    def done(self, *, but_failed: bool = False) -> set[TrialKey]:
        """(study, key) of the trials that have ended for good; with ``but_failed`` without those that failed."""
        return {
            trial.id
            for trial in self.tally.trials.values()
            if trial.outcome is not None and not (but_failed and trial.outcome == Outcome.FAILED)
        }

    def begin_again(self, trials: Iterable[TrialKey]) -> None:
        """Trials are to run, whatever became of them before: what is recorded of that stays until they begin."""
        for key in trials:
            if (known := self.tally.trials.get(key)) is not None:
                self.tally.trials[key] = replace(known, outcome=None, reason=None)

    @property
    def best(self) -> Trial | None:
        """The best completed trial so far."""
        return best_trial(self.tally.trials.values(), self.objective)

    def best_of_studies(self) -> dict[str, Trial]:
        """The same of each study that has a completed trial."""
        found = best_of_each_study(self.tally.trials.values(), self.objective)
        return {study: best for study, (best,) in found.items()}

    def handle(self, event: Event) -> None:
        """Record one event; what gangs do is no part of the records.

        Raises:
            StorageFailure: it cannot be recorded; what was recorded before stays.
        """
        with self._store.storage.failures_told("written", self._store.name):
            match event:
                case AttemptStarted():
                    self._started(event)
                case NewMeasurements():
                    self._measurements[event.name.key].append(event.rows)
                case AttemptEnded():
                    self._ended(event)
        if isinstance(event, AttemptEnded) and event.ended.cause is Cause.STORAGE_FAILED:
            raise StorageFailure(event.ended.error)

    def compact(self, may_write: Callable[[], None], *, is_end: bool = False) -> None:
        """Put the records of trials that have ended together, where many have since, or at the end of the run.

        Args:
            may_write: raises where the round's claim was lost.
            is_end: of the run.
        """
        for study in self._studies if is_end else self._compaction.due():
            ended = {key for (name, key), t in self.tally.trials.items() if name == study and t.outcome is not None}
            try:
                self._compaction.compact(study, ended, may_write, is_end=is_end)
            except OSError as error:  # the records are whole without it
                self.tally.warnings.append(
                    f"the records of {study} could not be put together into few files, so that reading them takes "
                    f"longer; nothing of them is lost ({first_line(error)})."
                )

    def checkpoints_deleted(self, trial: Trial) -> None:
        """Record that the checkpoints of a trial that has ended, in this run or an earlier one, are gone."""
        names = {each.name for each in fields(TrialRecord)} - {"spec"}
        spec = suggest(self._studies[trial.study], trial.index, trial.repeat)
        record = TrialRecord(spec, **{name: getattr(trial, name) for name in names})
        with self._store.storage.failures_told("written", self._store.name):
            self._write(trial.id, replace(record, checkpoints_deleted=True))
        self._compaction.has_ended(trial.study)  # which may have been put together with others: it has a file again

    def close(self) -> None:
        """End the measurements of trials that were cut off."""
        for running in self._measurements.values():
            with contextlib.suppress(OSError):  # what the stream holds is read up to its last whole batch
                running.close()

    # ------------------------------------------------------------------ one attempt

    def _started(self, event: AttemptStarted) -> None:
        study, key = event.name.key
        record = self._records.get(event.name.key)
        if record is None:
            spec = suggest(self._studies[study], *index_and_repeat(key))
            known = self.tally.trials.get(event.name.key)
            record = TrialRecord(spec=spec, attempts=known.attempts if known else ())
        code = self._studies[study].workload.source_hash
        self._check_code(event.name.key, record.attempts, code)
        number = self._number(event.name.key, event.name.attempt)
        attempt = Attempt(number=number, gang=event.gang, started_at=_now(), source_hash=code)
        running = self._measurements.pop(event.name.key, None)
        if running is not None:
            running.close()
        self._measurements[event.name.key] = RunningMeasurements(self._store, study, key, attempt.number)
        record = self._records[event.name.key] = replace(record, attempts=(*_cut_off(record.attempts), attempt))
        self._write(event.name.key, record)

    def _ended(self, event: AttemptEnded) -> None:
        ended, record = event.ended, self._records[event.name.key]
        number = self._number(event.name.key, event.name.attempt)
        first_step = ended.end.first_step if ended.end else None
        attempts = tuple(
            replace(attempt, ended=str(ended.cause), traceback=ended.traceback, first_step=first_step)
            if attempt.number == number
            else attempt
            for attempt in record.attempts
        )
        record = replace(record, attempts=attempts, machine=ended.machine)
        self._check_machine(ended.machine)
        if ended.warning:
            self.tally.warnings.append(f"{record.attempts[-1].gang} was restarted: {ended.warning}")
        running = self._measurements.pop(event.name.key)
        if event.is_final and ended.cause in _FINAL:
            record = self._final(record, ended, running.table())
            running.seal()
            self.tally.finished.append(record.outcome or _FINAL[ended.cause])
            self._compaction.has_ended(record.spec.study)
            if record.outcome == Outcome.FAILED:
                self.tally.new_failures.append(event.name.key)
            else:
                tensorboard.export(self._store, record, running.table())
        else:
            running.close()
            if event.is_final:
                self.tally.stopped.add(event.name.key)
        if event.is_final:
            del self._records[event.name.key]
        else:
            self._records[event.name.key] = record
        self._write(event.name.key, record)

    def _final(self, record: TrialRecord, ended: AttemptEnd, measurements: pa.Table) -> TrialRecord:
        outcome = _FINAL[ended.cause]
        objective = record.spec.objective
        best = best_on_all(measurements, objective) or trial_objective(measurements, objective)
        if outcome != Outcome.COMPLETED:
            best = None
        if outcome == Outcome.COMPLETED and best is None:
            outcome, reason = why_not_judged(measurements, objective)
            ended = replace(ended, end=replace(ended.end, reason=reason) if ended.end else None)
        end = ended.end
        return replace(
            record,
            outcome=outcome,
            reason=end.reason if end else ended.error,
            objective=best.value if best else None,
            best_step=best.step if best else None,
            training=end.training if end else None,
            checkpoint_bytes=self._checkpoint_bytes(end),
        )

    def _checkpoint_bytes(self, end: End | None) -> int | None:
        """The most that a trial keeps, none being known where its workers died."""
        if end is None:
            return None
        return end.checkpoint.kept_bytes(self._budget) if end.checkpoint else 0

    def _number(self, key: TrialKey, attempt: int) -> int:
        """Attempts count on over `resume`; the pool counts from 1."""
        return self._attempts_before.get(key, 0) + attempt

    def _write(self, key: TrialKey, record: TrialRecord) -> None:
        self._store.write_trial(record)
        self.tally.trials[key] = trials_of(trials_table([record]))[0]

    def _check_code(self, key: TrialKey, before: Sequence[Attempt], code: str) -> None:
        if before and (before[-1].source_hash or self._source_hash) != code:
            self.tally.warnings.append(
                f"trial {'/'.join(key)} is trained by other code than before, from its first step on; "
                "its record has the hash of each attempt's source."
            )
        elif code != self._source_hash and not self._warned_of_code:
            self._warned_of_code = True
            self.tally.warnings.append(
                "the workload's source has changed since the round began, so trials that begin now are trained by "
                "other code than those before; the record of each has its hash."
            )

    def _check_machine(self, machine: Machine) -> None:
        if not machine.torch:
            return
        if self._machine is None:
            self._machine = machine
        elif not self._machine.same_bits(machine):
            self.tally.warnings.append(
                "trials of this round ran on machines that differ in what decides bits "
                f"({self._machine} and {machine}); each trial's record says which."
            )
            self._machine = machine


def _cut_off(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Attempts that never ended, because their driver was killed, ended just so."""
    return tuple(replace(attempt, ended=attempt.ended or "cut off") for attempt in attempts)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
