"""Running a round: from its specification to its records, whatever happens in between.

`run` starts a round, or goes on with one of the same specification; `resume` does so by its name. Each makes a fresh
`Tuner` over the trials that have no final record (DESIGN decision 5).
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.cluster.loss import driver_gone, told_if_killed
from raytune_playbook.engine.cluster.quiet import driver_log
from raytune_playbook.engine.driver.driver import Driver, HeldRound, TrialsLeft
from raytune_playbook.engine.driver.progress import ProgressLine
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.driver.standing import finished
from raytune_playbook.engine.jobs.job_file import Job, load_job
from raytune_playbook.engine.jobs.preflight import check_values, workload_of
from raytune_playbook.engine.jobs.provenance import Provenance, provenance_of, round_record
from raytune_playbook.engine.jobs.to_workers import pack
from raytune_playbook.engine.rounds.disk import say_disk_price
from raytune_playbook.engine.rounds.examples import examples_of
from raytune_playbook.engine.rounds.found_examples import find_before_ray
from raytune_playbook.engine.rounds.opening import context_of, logged, opened, say_goal, session_of
from raytune_playbook.engine.rounds.recorded import as_recorded, job_of, job_to_extend
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.engine.rounds.running import Place, RunningRound
from raytune_playbook.engine.rounds.trial_check import try_out
from raytune_playbook.engine.rounds.tried import Estimates
from raytune_playbook.engine.session import Gangs
from raytune_playbook.engine.tune.round_search import interleaved, num_by_study
from raytune_playbook.errors import RunError, WorkloadError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.driving.claims import claimed, driving
from raytune_playbook.records.driving.requests import clear_requests
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore, profile_path
from raytune_playbook.records.types import Outcome, Part, RoundState, RoundStatus
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.reading import read_profiles
from raytune_playbook.report.rules import explained
from raytune_playbook.report.terminal import new_console, no_answer, summary
from raytune_playbook.report.tracebacks import from_users_code
from raytune_playbook.study.checks.rules_of_thumb import price, warnings
from raytune_playbook.study.profile_steps import ProfileSteps
from raytune_playbook.study.round import Round
from raytune_playbook.study.trial import trial_key


def run(
    round: Round,
    *,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    retry_failed: bool = False,
    profile: str | None = None,
    console: Console | None = None,
) -> Result:
    """Run a round, or go on with it where a round of its name and specification was begun.

    More trials than it had extend it (rule QR4); a round that was extended keeps its trials.

    Args:
        round: what to run.
        storage: folder or URI under which the round gets a folder of its name.
        gangs: a session to share; without one the round starts its own, and ends it.
        address: of a Ray cluster; None for ``RAY_ADDRESS``, or else this machine.
        job: the job file that the round came from, for the record.
        retry_failed: also run the trials that failed before.
        profile: steps of trial 0 of each study that a profiler traces on one worker (rule PI4), such as ``"10-12"``.
        console: where to print.

    Raises:
        InputError: something that was given is wrong; nothing was started or written.
        RunError: the round failed; its records are kept.
    """
    console = console or new_console()
    steps = None if profile is None else ProfileSteps.parse(profile, round.budget.max_train_steps)
    wishes = Wishes(retry_failed=retry_failed, profile=steps)
    store, status = run_round(round, Place(storage, console, gangs, address, job), wishes)
    page = write_page(store)
    console.print(summary(store))
    console.print(f"Report: {page}", soft_wrap=True)
    if steps is not None:
        _say_where_traces_are(console, store, round, steps)
    _say_how_it_ended(console, store, status)
    return Result(store)


@dataclass(frozen=True)
class Wishes:
    """How a round is to be run.

    Fields:
        retry_failed, profile: see `run`.
        part: of which procedure the round is part, which says itself what its rounds cost and came to; None for a round
            of its own.
        is_checked: whether a round like this one was checked in this session, so that no steps are tried out.
    """

    retry_failed: bool = False
    profile: ProfileSteps | None = None
    part: Part | None = None
    is_checked: bool = False


def run_round(round_: Round, place: Place, wishes: Wishes) -> tuple[RoundStore, RoundStatus]:
    """Run a round, or go on with it, without a word on what it came to; raises as `run` does before its end."""
    console = place.console
    packed = pack(workload_of(round_))
    check_values(round_)
    store = RoundStore(Storage(place.storage), round_.name)
    as_recorded(store, round_)  # refuses what is another round before a driver is looked for
    store.storage.check_writable()
    with claimed(driving(store), say=lambda sentence: console.print(sentence, soft_wrap=True)) as claim:
        clear_requests(store)
        round_ = as_recorded(store, round_)
        say_goal(console, round_)  # before what takes its time
        provenance, found = provenance_of(place.job, store.storage.uri, wishes.part), find_before_ray(round_)
        held = HeldRound(store, claim)
        status = _ended(held, round_, console, retry_failed=wishes.retry_failed)
        if status is not None:
            return store, status
        gone = driver_gone(f"ran {round_.name!r}", "What was recorded is kept; run the round again to go on.")
        with told_if_killed(gone), logged(store), session_of(round_, place.gangs, place.address) as session:
            running = RunningRound(round_, packed, session, console, found, says_examples=not wishes.is_checked)
            return store, _run(running, held, provenance, wishes)


def _run(running: RunningRound, held: HeldRound, provenance: Provenance, wishes: Wishes) -> RoundStatus:
    round_, store = running.round, held.store
    is_new = not store.exists()
    recorder = Recorder(store, round_.studies, budget=round_.budget) if not is_new else None
    done = recorder.done(but_failed=wishes.retry_failed) if recorder else set()
    todo = interleaved(round_.studies, done)
    if wishes.part is None:
        _announce(running, num_done=sum(study.num_trials for study in round_.studies) - len(todo))
    recorded = None if is_new else store.round().examples
    examples = examples_of(running, store.storage, recorded)
    context = context_of(running, held, examples, wishes.profile)
    with opened(running.session, context, num_left=len(todo)):
        estimates = Estimates() if wishes.is_checked else try_out(running, context, num_by_study(todo))
        say_disk_price(running, estimates.disk, store.storage)
        held.claim.require()
        if is_new:
            record = round_record(round_, provenance, examples.record)
            store.create(record, round_.studies, notes=round_.notes, diff=provenance.difference)
        elif store.round().budget.num_trials < round_.budget.num_trials:
            store.extend(round_.budget, round_.studies)
        recorder = recorder or Recorder(store, round_.studies, budget=round_.budget)
        with ProgressLine(running.console, round_.objective) as progress:
            running_bytes = estimates.disk.running_bytes if estimates.disk else 0
            left = TrialsLeft(context, todo, round_.budget, estimates.trials_s, running_bytes)
            return Driver(running.session, left, held, recorder, progress).run()


def _ended(held: HeldRound, round_: Round, console: Console, *, retry_failed: bool) -> RoundStatus | None:
    """The status of a round of which no trial is left to run, for which no cluster is needed; else None."""
    store = held.store
    if not store.exists():
        return None
    recorder = Recorder(store, round_.studies)
    done = recorder.done(but_failed=retry_failed)
    if interleaved(round_.studies, done):
        return None
    recorder.compact(held.claim.require, is_end=True)  # a version before, or a driver that was killed, did not
    num_done = recorder.tally.num_trials
    console.print(f"  All {num_done} trials are done already; their records are kept", soft_wrap=True)
    status = store.status()
    if status is None or status.state is not RoundState.FINISHED:  # a driver that retrained some of them was killed
        status = finished(recorder.tally)
        store.write_status(status)
    return status


def resume(
    name: str,
    *,
    storage: str = DEFAULT_STORAGE,
    address: str | None = None,
    retry_failed: bool = False,
    console: Console | None = None,
) -> Result:
    """Finish what is left of a round that was started from a job file.

    Raises:
        InputError: there is no such round, or its job file is gone or defines another round by now.
        RunError: the round failed again.
    """
    job = load_job(job_of(RoundStore(Storage(storage), name)))
    return run(job.round, storage=storage, address=address, job=job, retry_failed=retry_failed, console=console)


def extend(
    name: str,
    num_trials: int,
    *,
    storage: str = DEFAULT_STORAGE,
    address: str | None = None,
    console: Console | None = None,
) -> Result:
    """Give a round that was started from a job file more trials, and run them; those that it had stay as they are.

    Args:
        num_trials: how many trials the round shall have in all.

    Raises:
        InputError: as for `resume`, or the round has as many trials already.
        RunError: the round failed.
    """
    job = load_job(job_to_extend(RoundStore(Storage(storage), name), num_trials))
    return run(job.round.extended(num_trials), storage=storage, address=address, job=job, console=console)


def check(
    round: Round,
    *,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    console: Console | None = None,
) -> None:
    """Train a few steps of each study and evaluate on one gang, and record nothing.

    Args:
        storage: where the round would be recorded; only its free space is looked at.
        gangs, address, console: as for `run`.

    Raises:
        InputError, RunError: as `run` would before its first trial.
    """
    console, place = console or new_console(), Storage(storage)
    packed = pack(workload_of(round))
    check_values(round)
    say_goal(console, round)
    found = find_before_ray(round)
    gone = driver_gone(f"checked {round.name!r}", "Nothing was recorded; check the round again.")
    with told_if_killed(gone), driver_log(), session_of(round, gangs, address) as session:
        running = RunningRound(round, packed, session, console, found)
        _announce(running, num_done=0)
        context = context_of(running, None, examples_of(running, None, None))
        with opened(session, context, num_left=1):  # from one study to the next its gang is kept
            estimates = try_out(running, context, num_by_study(interleaved(round.studies, set())))
            say_disk_price(running, estimates.disk, place)


# ---------------------------------------------------------------------- before the first trial


def _announce(running: RunningRound, *, num_done: int) -> None:
    """What the round costs, and which rules of thumb it goes against (rules SD1, SD4, SD9, SD10, BA7)."""
    console, round_ = running.console, running.round
    console.print(f"  {price(round_).sentence(running.session.capacity())}", soft_wrap=True)
    if num_done:
        console.print(f"  {num_done} trials are done already; their records are kept", soft_wrap=True)
    for warning in warnings(round_):
        console.print(Text(f"  Warning: {explained(warning)}"), soft_wrap=True)


def _say_where_traces_are(console: Console, store: RoundStore, round_: Round, steps: ProfileSteps) -> None:
    """Or why there is none, as where trial 0 had ended before."""
    there = read_profiles(store, round_.studies)
    for study in round_.studies:
        path = profile_path(study.name, trial_key(0), steps.first, steps.last)
        if path in there:
            console.print(f"Trace for Perfetto (ui.perfetto.dev): {store.uri_of(path)}", soft_wrap=True)
        else:
            console.print(
                f"No trace of {study.name}: its trial 0 did not train steps {steps.first} to {steps.last} in this run; "
                "rename the round to train it again.",
                soft_wrap=True,
            )


def _say_how_it_ended(console: Console, store: RoundStore, status: RoundStatus) -> None:
    """Raises `RunError` where the round failed."""
    raise_if_failed(store, status, then=store.command("resume"))
    if status.state is not RoundState.FINISHED:
        how = f"Go on with: {store.command('resume')}"
        console.print(f"The round stopped ({status.reason}). {how}", soft_wrap=True)
    elif (sentence := no_answer(store)) is not None:
        console.print(Text(sentence), soft_wrap=True)


def raise_if_failed(store: RoundStore, status: RoundStatus, *, then: str) -> None:
    """Say why a run failed.

    Args:
        store: of the round.
        status: how its run ended.
        then: the command to go on with when the cause is mended.

    Raises:
        WorkloadError: it failed, and would again as it is.
        RunError: it failed otherwise.
    """
    if status.state is not RoundState.FAILED:
        return
    failed = [trial.last_traceback for trial in trials_of(store.trials()) if trial.outcome == Outcome.FAILED]
    common = f"\n{from_users_code(failed[-1])}" if failed and failed[-1] else ""
    retry = " --retry-failed" if failed and then == store.command("resume") else ""
    error = RunError if status.retry_helps else WorkloadError
    raise error(f"The round stopped: {status.reason}.{common}\nMend the cause, then: {then}{retry}")
