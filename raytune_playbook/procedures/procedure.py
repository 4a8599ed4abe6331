"""What all procedures have in common: rounds that share one session of warm gangs, and a record of what they came to.

A procedure that was cut off goes on when it is run again: the rounds that it had begun have fixed names. One that came
to its end is not run again for nothing: where nothing that it is bound to has changed, its record is shown.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich.text import Text

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.jobs.provenance import code_state
from raytune_playbook.engine.rounds.opening import session_of
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.engine.rounds.retrain import retrain
from raytune_playbook.engine.rounds.run import Wishes, raise_if_failed, run_round
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.errors import RunError
from raytune_playbook.procedures.command import is_same_command
from raytune_playbook.records.facts import facts_of
from raytune_playbook.records.procedures import (
    NextCommand,
    ProcedureRecord,
    all_of,
    newest_procedure,
    rounds_of,
    stale_facts,
    write_procedure,
)
from raytune_playbook.records.scores import now
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Machine, Part, RoundState, RoundStatus
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.procedure_text import print_procedure
from raytune_playbook.study.round import Round

KEEP_IDLE_S = 120.0
"""From one round of a procedure to the next its gangs are kept."""


@dataclass
class Procedure:
    """A procedure that runs.

    Fields:
        part: its name, its round's, and its command.
        round: whose it is.
        place: where its rounds run and are recorded; in its session.
        ran: names of the rounds that it has run, this time or before it was cut off, or has used again.
    """

    part: Part
    round: Round
    place: Place
    ran: list[str] = field(default_factory=list)
    _machine: Machine | None = None
    _is_checked: bool = False

    @property
    def store(self) -> RoundStore:
        """The records of the round whose procedure it is; it may not have begun."""
        return RoundStore(Storage(self.place.storage), self.round.name)

    @property
    def facts(self) -> dict[str, str]:
        """What is known of the round by now, to bind a record to."""
        return facts_of(self.round.studies, self.round.resources, self._machine)

    @property
    def session(self) -> Gangs:
        """Whose gangs train its rounds."""
        assert self.place.gangs is not None, "a procedure runs in a session"
        return self.place.gangs

    def run(
        self,
        what: str,
        round_: Round,
        *,
        prepare: Callable[[Round], None] | None = None,
        is_used_again: bool = False,
    ) -> Result:
        """Run a round as part of the procedure; its name is made of ``what`` it is, such as ``sweep``.

        The first one of a session is checked before its first trial, as every round is; those after it are not.

        Args:
            what: it is; with it a procedure that was cut off finds the round again.
            round_: to run.
            prepare: called with the round under its name before it runs, or goes on.
            is_used_again: whether the same round of an earlier run of the procedure will do, where nothing that its
                record is bound to has changed since. Not for what is measured anew, such as times.

        Raises:
            InputError, RunError: as `raytune_playbook.run`.
            KeyboardInterrupt: Ctrl-C ended it, cleanly.
        """
        earlier = self._earlier(what, round_) if is_used_again else None
        if earlier is not None:
            self.say(f"{earlier.name} has trained the same before, so it is used again; --again trains it anew.")
            self.ran.append(earlier.name)
            return self._seen(Result(earlier))
        named = self._named(what, round_)
        if prepare is not None:
            prepare(named)
        wishes = Wishes(part=self.part, is_checked=self._is_checked)
        store, status = run_round(named, self.place, wishes)
        self._is_checked = True
        self._require_finished(store, status)
        self.ran.append(named.name)
        write_page(store)
        return self._seen(Result(store))

    def retrain(self, points: Sequence[tuple[str, int]], num_repeats: int, round_: Round | None = None) -> Result:
        """Retrain points of the round, or of another one, until each has so many repeats; raises as `run` does."""
        retrained = round_ or self.round
        status = retrain(retrained, points, num_repeats, self.place)
        store = RoundStore(Storage(self.place.storage), retrained.name)
        self._require_finished(store, status)
        return self._seen(Result(store))

    def renew_gangs(self) -> None:
        """End the session's gangs: the next round has fresh workers."""
        if self.place.gangs is not None:
            self.place.gangs.renew()

    def say(self, sentence: str) -> None:
        """Print what is about to be done, or what was found on the way."""
        self.place.console.print(Text(sentence), soft_wrap=True)

    def conclude(self, record: ProcedureRecord) -> ProcedureRecord:
        """Record what it came to, print it, and put it on the round's page where the round has one."""
        written = write_procedure(self.store, record)
        print_procedure(self.place.console, written)
        if self.store.exists():
            self.say(f"Report: {write_page(self.store)}")
        elif self.ran:  # a job's procedure stands on the pages of its parts
            self.say(f"Report: {write_page(RoundStore(self.store.storage, self.ran[-1]))}")
        return written

    def draft(self, verdict: str, *, bound_to: Sequence[str]) -> ProcedureRecord:
        """A record with all that the procedure knows by itself, to be completed.

        Args:
            verdict: what it came to, in one sentence.
            bound_to: the names of the facts that it holds for.
        """
        job = self.place.job
        return ProcedureRecord(
            procedure=self.part.procedure,
            round=self.round.name,
            workload=self.round.studies[0].workload.name,
            verdict=verdict,
            bound_to={name: value for name, value in self.facts.items() if name in bound_to},
            rounds=tuple(self.ran),
            command=self.part.command,
            commit=code_state(job.path.parent if job else None)[0],
            ended_at=now(),
        )

    def begun(self, what: str) -> RoundStore | None:
        """The newest round of this kind that a run of the procedure has begun and was then cut off; None without one.

        For a procedure whose rounds follow from those before: what was begun is gone on with as it is.
        """
        concluded, found = rounds_of(self.store, self.part.procedure), None
        for store in self._stores(what):
            if not store.exists():
                break
            found = None if store.name in concluded else store
        return found

    def _earlier(self, what: str, round_: Round) -> RoundStore | None:
        """The newest finished round of an earlier run that trained the same, by the same code, on as many workers.

        None where the same was begun and cut off since: that is gone on with.
        """
        records = all_of(self.store, self.part.procedure)
        holding = {name for each in records if not stale_facts(each, self.facts) for name in each.rounds}
        concluded, found = rounds_of(self.store, self.part.procedure), None
        for store in itertools.takewhile(RoundStore.exists, self._stores(what)):
            recorded = store.round()
            if recorded.fingerprint != round_.model_copy(update={"name": store.name}).fingerprint:
                continue
            if store.name not in concluded:
                return None
            is_same = (recorded.objective, recorded.resources) == (round_.objective, round_.resources)
            status = store.status()
            if is_same and store.name in holding and status is not None and status.state is RoundState.FINISHED:
                found = store
        return found

    def _named(self, what: str, round_: Round) -> Round:
        """Under the first name whose round is not of an earlier run of the procedure, nor a different one."""
        concluded = rounds_of(self.store, self.part.procedure)
        for store in self._stores(what):
            named = round_.model_copy(update={"name": store.name})
            if not store.exists() or (named.name not in concluded and store.round().fingerprint == named.fingerprint):
                return named
        raise AssertionError("there is always another name")

    def _stores(self, what: str) -> Iterator[RoundStore]:
        """Under all names that a round of this kind may have, in order."""
        base, storage = f"{self.round.name}-{self.part.procedure}-{what}", Storage(self.place.storage)
        yield RoundStore(storage, base)
        yield from (RoundStore(storage, f"{base}-{number}") for number in itertools.count(2))

    def _seen(self, result: Result) -> Result:
        """A result whose trials tell on what they ran; the newest say what is so now."""
        machines = [trial.machine for trial in trials_of(result.trials) if trial.machine.torch]
        self._machine = machines[-1] if machines else self._machine
        return result

    def _require_finished(self, store: RoundStore, status: RoundStatus) -> None:
        raise_if_failed(store, status, then=self.part.command)
        if status.state is RoundState.FINISHED:
            return
        self.say(f"Stopped ({status.reason}). Go on with: {self.part.command}")
        if status.reason == "interrupted":
            raise KeyboardInterrupt
        raise RunError(f"The procedure stopped: {status.reason}. Go on with: {self.part.command}")


@contextlib.contextmanager
def procedure(part: Part, round_: Round, place: Place) -> Iterator[Procedure]:
    """Within it a procedure's rounds share one session: the caller's, or one of its own.

    Args:
        part: the procedure's name, its round's, and its command.
        round_: whose procedure it is.
        place: where to run and record it.
    """
    with session_of(round_, place.gangs, place.address, keep_idle_s=KEEP_IDLE_S) as session:
        yield Procedure(part, round_, replace(place, gangs=session))


def done_before(
    part: Part, round_: Round, place: Place, *, following: tuple[NextCommand, ...] | None = None
) -> ProcedureRecord | None:
    """The record that `found_before` finds; it is printed again.

    Args:
        following: what is to be done next by now; None for what the record says.
    """
    record = found_before(part, round_, place)
    if record is not None:
        record = record if following is None else record.model_copy(update={"next": following})
        done = f"This was done before, on {record.ended_at[:10]}, and nothing has changed since; --again does it anew."
        place.console.print(Text(done), soft_wrap=True)
        print_procedure(place.console, record)
    return record


def found_before(part: Part, round_: Round, place: Place) -> ProcedureRecord | None:
    """The record of the same command where nothing that it is bound to has changed since."""
    store = RoundStore(Storage(place.storage), round_.name)
    record = newest_procedure(store, part.procedure)
    if (
        record is None
        or not is_same_command(record.command, part.command)
        or stale_facts(record, facts_of(round_.studies, round_.resources))
    ):
        return None
    return record
