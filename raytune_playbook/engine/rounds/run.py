"""Running a round: from its specification to its records, whatever happens in between.

`run` starts a round, or goes on with one of the same specification; `resume` does so by its name. Each makes a fresh
`Tuner` over the trials that have no final record (DESIGN decision 5).
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import ray.exceptions
from rich.console import Console
from rich.text import Text

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.data.examples import Examples
from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.cluster.loss import driver_gone, told_if_killed
from raytune_playbook.engine.cluster.quiet import driver_log
from raytune_playbook.engine.driver.driver import Driver, HeldRound, TrialsLeft
from raytune_playbook.engine.driver.progress import ProgressLine
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.jobs.job_file import Job, load_job
from raytune_playbook.engine.jobs.preflight import check_values, workload_of
from raytune_playbook.engine.jobs.provenance import Provenance, provenance_of, round_record
from raytune_playbook.engine.jobs.to_workers import pack
from raytune_playbook.engine.rounds.examples import examples_of
from raytune_playbook.engine.rounds.found_examples import find_before_ray
from raytune_playbook.engine.rounds.recorded import as_recorded, job_of, job_to_extend
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.engine.rounds.trial_check import try_out
from raytune_playbook.engine.session import ANSWER_TIMEOUT_S, Gangs
from raytune_playbook.engine.tune.round_search import interleaved, num_by_study
from raytune_playbook.errors import RunError, SpecError, StorageFailure
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.claims import claimed, driving
from raytune_playbook.records.requests import clear_requests
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore, profile_path
from raytune_playbook.records.types import Outcome, RoundState, RoundStatus
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.reading import read_profiles
from raytune_playbook.report.rules import explained
from raytune_playbook.report.terminal import new_console, no_answer, summary
from raytune_playbook.report.tracebacks import from_users_code
from raytune_playbook.study.profile_steps import ProfileSteps
from raytune_playbook.study.round import Round
from raytune_playbook.study.rules_of_thumb import price, warnings
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
    packed = pack(workload_of(round))
    check_values(round)
    store = RoundStore(Storage(storage), round.name)
    as_recorded(store, round)  # refuses what is another round before a driver is looked for
    store.storage.check_writable()
    with claimed(driving(store), say=lambda sentence: console.print(sentence, soft_wrap=True)) as claim:
        clear_requests(store)
        round = as_recorded(store, round)
        _say_goal(console, round)  # before what takes its time
        provenance, found = provenance_of(job, store.storage.uri), find_before_ray(round)
        status = _ended(HeldRound(store, claim), round, console, retry_failed=retry_failed)
        if status is None:
            held = HeldRound(store, claim)
            gone = driver_gone(f"ran {round.name!r}", "What was recorded is kept; run the round again to go on.")
            with told_if_killed(gone), _logged(store), _session(round, gangs, address, console) as session:
                running = RunningRound(round, packed, session, console, found)
                status = _run(running, held, provenance, retry_failed=retry_failed, profile=steps)
    page = write_page(store)
    console.print(summary(store))
    console.print(f"Report: {page}", soft_wrap=True)
    if steps is not None:
        _say_where_traces_are(console, store, round, steps)
    _say_how_it_ended(console, store, status)
    return Result(store)


def _run(
    running: RunningRound, held: HeldRound, provenance: Provenance, *, retry_failed: bool, profile: ProfileSteps | None
) -> RoundStatus:
    round_, store = running.round, held.store
    is_new = not store.exists()
    recorder = Recorder(store, round_.studies) if not is_new else None
    done = recorder.done(but_failed=retry_failed) if recorder else set()
    todo = interleaved(round_.studies, done)
    _announce(running, num_done=len(done))
    recorded = None if is_new else store.round().examples
    examples = examples_of(running, store.storage, recorded)
    context = _context(running, held.claim.run, store.uri, examples, profile)
    with _opened(running.session, context, num_left=len(todo)):
        estimates_s = try_out(running, context, num_by_study(todo))
        held.claim.require()
        if is_new:
            record = round_record(round_, provenance, examples.record)
            store.create(record, round_.studies, notes=round_.notes, diff=provenance.difference)
        elif store.round().budget.num_trials < round_.budget.num_trials:
            store.extend(round_.budget, round_.studies)
        recorder = recorder or Recorder(store, round_.studies)
        with ProgressLine(running.console, round_.objective) as progress:
            left = TrialsLeft(context, todo, round_.budget, estimates_s)
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
    console.print(f"  All {len(done)} trials are done already; their records are kept", soft_wrap=True)
    return store.status()


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
    round: Round, *, gangs: Gangs | None = None, address: str | None = None, console: Console | None = None
) -> None:
    """Train a few steps of each study and evaluate on one gang, and record nothing.

    Args:
        gangs, address, console: as for `run`.

    Raises:
        InputError, RunError: as `run` would before its first trial.
    """
    console = console or new_console()
    packed = pack(workload_of(round))
    check_values(round)
    _say_goal(console, round)
    found = find_before_ray(round)
    gone = driver_gone(f"checked {round.name!r}", "Nothing was recorded; check the round again.")
    with told_if_killed(gone), driver_log(), _session(round, gangs, address, console) as session:
        running = RunningRound(round, packed, session, console, found)
        _announce(running, num_done=0)
        context = _context(running, uuid.uuid4().hex, "", examples_of(running, None, None))
        with _opened(session, context, num_left=1):  # from one study to the next its gang is kept
            try_out(running, context, num_by_study(interleaved(round.studies, set())))


# ---------------------------------------------------------------------- before the first trial


def _context(
    running: RunningRound, run_name: str, uri: str, examples: Examples, profile: ProfileSteps | None = None
) -> RoundContext:
    studies = {study.name: study for study in running.round.studies}
    budget = running.round.budget
    return RoundContext(
        run_name,
        uri,
        running.packed,
        examples,
        studies,
        num_best_checkpoints=budget.num_best_checkpoints,
        checkpoint_interval_steps=budget.checkpoint_interval_steps,
        profile=profile,
    )


@contextlib.contextmanager
def _logged(store: RoundStore) -> Iterator[None]:
    """What Ray and the pool log within it is kept with the round, once there is one."""
    with driver_log() as log:
        try:
            yield
        finally:
            with contextlib.suppress(StorageFailure):  # the run has said so, or the page will
                if store.exists():
                    store.storage.write(f"{store.name}/logs/driver.log", log.read_bytes())


@contextlib.contextmanager
def _session(round_: Round, gangs: Gangs | None, address: str | None, console: Console) -> Iterator[Gangs]:
    """The caller's session, or one for this round alone, whose gangs go as soon as no trial is left for them."""
    if gangs is not None:
        if gangs.resources != round_.resources:
            raise SpecError(
                "Round.resources: rounds that share gangs ask for the same resources, "
                f"but got {round_.resources} for gangs of {gangs.resources}; use another session."
            )
        with gangs.losses_told():
            yield gangs
        return
    with Gangs(round_.resources, address=address, keep_idle_s=0) as own, own.losses_told():
        yield own


@contextlib.contextmanager
def _opened(session: Gangs, context: RoundContext, *, num_left: int) -> Iterator[None]:
    answer_of(session.pool.open_round.remote(context, num_left), timeout_s=ANSWER_TIMEOUT_S)
    try:
        yield
    finally:
        with contextlib.suppress(ray.exceptions.RayError):  # a pool that is gone has no rounds any more
            answer_of(session.pool.close_round.remote(context.round_id), timeout_s=ANSWER_TIMEOUT_S)


def _say_goal(console: Console, round_: Round) -> None:
    console.print(Text.assemble((round_.name, "bold"), f": {round_.goal}"), soft_wrap=True)


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
            console.print(f"Trace for Perfetto (ui.perfetto.dev): {store.uri}/{path}", soft_wrap=True)
        else:
            console.print(
                f"No trace of {study.name}: its trial 0 did not train steps {steps.first} to {steps.last} in this run; "
                "rename the round to train it again.",
                soft_wrap=True,
            )


def _say_how_it_ended(console: Console, store: RoundStore, status: RoundStatus) -> None:
    """Raises `RunError` where the round failed."""
    if status.state is RoundState.FINISHED:
        if (sentence := no_answer(store)) is not None:
            console.print(Text(sentence), soft_wrap=True)
        return
    how = f"Go on with: {store.command('resume')}"
    if status.state is RoundState.FAILED:
        failed = [trial.last_traceback for trial in trials_of(store.trials()) if trial.outcome == Outcome.FAILED]
        common = f"\n{from_users_code(failed[-1])}" if failed and failed[-1] else ""
        retry = " --retry-failed" if failed else ""
        raise RunError(
            f"The round stopped: {status.reason}.{common}\nMend the cause, then: {store.command('resume')}{retry}"
        )
    console.print(f"The round stopped ({status.reason}). {how}", soft_wrap=True)
