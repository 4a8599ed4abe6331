"""Running a round: from its specification to its records, whatever happens in between.

`run` starts a round, or goes on with one of the same specification; `resume` does so by its name. Each makes a fresh
`Tuner` over the trials that have no final record (DESIGN decision 5).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping

import ray.exceptions
from rich.console import Console
from rich.text import Text

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.data.share import share
from raytune_playbook.engine.ask import ask
from raytune_playbook.engine.driver import Driver, resume_command
from raytune_playbook.engine.job_file import Job, load_job, pack
from raytune_playbook.engine.messages import AttemptEnd
from raytune_playbook.engine.progress import Progress, duration_text
from raytune_playbook.engine.provenance import command, round_record
from raytune_playbook.engine.quiet import driver_log
from raytune_playbook.engine.recorder import Recorder
from raytune_playbook.engine.result import Result
from raytune_playbook.engine.round_context import RoundContext
from raytune_playbook.engine.searcher import interleaved
from raytune_playbook.engine.session import ANSWER_TIMEOUT_S, Gangs
from raytune_playbook.errors import InputError, RunError, SpecError, StorageError
from raytune_playbook.records.store import RoundStore, Storage
from raytune_playbook.records.types import RoundStatus
from raytune_playbook.report.page import write_page
from raytune_playbook.report.terminal import new_console, summary
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.advice import price, warnings
from raytune_playbook.study.round import Round
from raytune_playbook.train.workload import Workload

DEFAULT_STORAGE = "rounds"
CHECK_STEPS = 3
DRIVER_LOST_S = 30.0
"""A running round whose driver has given no sign of life for this long may be taken over."""


def run(
    round: Round,
    *,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    retry_failed: bool = False,
    console: Console | None = None,
) -> Result:
    """Run a round, or go on with it where a round of its name and specification was begun.

    Args:
        round: what to run.
        storage: folder or URI under which the round gets a folder of its name.
        gangs: a session to share; without one the round starts its own, and ends it.
        address: of a Ray cluster; None for ``RAY_ADDRESS``, or else this machine.
        job: the job file that the round came from, for the record.
        retry_failed: also run the trials that failed before.
        console: where to print.

    Raises:
        InputError: something that was given is wrong; nothing was started or written.
        RunError: the round failed; its records are kept.
    """
    console = console or new_console()
    workload, packed = _workload(round), pack(_workload(round))
    store = RoundStore(Storage(storage), round.name)
    _require_same_or_new(store, round)
    store.storage.check_writable()
    datasets = _datasets(workload)
    with driver_log() as log, _session(round, gangs, address, console) as session:
        try:
            status = _run(round, store, session, packed, datasets, job, retry_failed, console)
        finally:
            if store.exists():
                store.storage.write(f"{store.name}/logs/driver.log", log.read_bytes())
    page = write_page(store)
    console.print(summary(store))
    console.print(f"Report: {page}", soft_wrap=True)
    _say_how_it_ended(console, store, status)
    return Result(store)


def _run(
    round_: Round,
    store: RoundStore,
    session: Gangs,
    packed: bytes,
    datasets: Mapping[str, object],
    job: Job | None,
    retry_failed: bool,
    console: Console,
) -> RoundStatus:
    is_new = not store.exists()
    recorder = Recorder(store, round_.studies) if not is_new else None
    done = recorder.done(but_failed=retry_failed) if recorder else set()
    todo = interleaved(round_.studies, done)
    _announce(console, round_, session, num_done=len(done))
    if not todo and (status := store.status()) is not None:
        return status
    context = _context(round_, store.uri, packed, datasets)
    with _opened(session, context, num_left=len(todo)):
        estimate_s = _try_out(console, session, context, round_, num_left=len(todo))
        if is_new:
            record, difference = round_record(round_, job, store.storage.uri)
            store.create(record, round_.studies, notes=round_.notes, diff=difference)
        recorder = recorder or Recorder(store, round_.studies)
        with Progress(console, round_.objective, num_left=len(todo), estimate_s=estimate_s) as progress:
            return Driver(session, context, store, recorder, todo, round_.budget, progress).run()


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
    store = RoundStore(Storage(storage), name)
    record = store.round()
    if record.job is None:
        raise StorageError(
            f"Round {name!r} was started from Python ({record.command}), so its code is there; run it again to go on."
        )
    job = load_job(record.job)
    return run(job.round, storage=storage, address=address, job=job, retry_failed=retry_failed, console=console)


def check(round: Round, *, address: str | None = None, console: Console | None = None) -> None:
    """Train a few steps and evaluate once on one gang, and record nothing.

    Raises:
        InputError, RunError: as `run` would before its first trial.
    """
    console = console or new_console()
    workload, packed = _workload(round), pack(_workload(round))
    datasets = _datasets(workload)
    with driver_log(), _session(round, None, address, console) as session:
        _announce(console, round, session, num_done=0)
        num_left = price(round).num_trials
        context = _context(round, "", packed, datasets)
        with _opened(session, context, num_left=0):
            _try_out(console, session, context, round, num_left=num_left)


def stop(name: str, *, storage: str = DEFAULT_STORAGE, trial: str | None = None) -> None:
    """Ask the driver of a running round, wherever it is, to end the round or one trial at the next evaluation.

    Raises:
        InputError: there is no such round or trial, or the round is not running.
    """
    store = RoundStore(Storage(storage), name)
    record, status = store.round(), store.status()
    if status is None or not _is_live(status):
        raise StorageError(
            f"A round must be running to be stopped, but {name!r} is {status.state if status else 'not'}."
        )
    wanted = None
    if trial is not None:
        study, _, key = trial.rpartition("/")
        key = f"{int(key):05d}" if key.isdigit() else key
        if not study and len(record.studies) == 1:
            study = record.studies[0]
        if study not in record.studies:
            raise StorageError(
                f"A trial is named STUDY/INDEX, but got {trial!r}; the round's studies are {', '.join(record.studies)}."
            )
        wanted = [study, key]
    store.storage.write(f"{name}/stop.json", json.dumps({"trial": wanted}).encode())


# ---------------------------------------------------------------------- before the first trial


def _workload(round_: Round) -> Workload:
    if not isinstance(round_.workload, Workload):
        raise SpecError(
            "Round.workload: a raytune_playbook.Workload is needed, "
            f"but got {type(round_.workload).__name__}; subclass it."
        )
    return round_.workload


def _require_same_or_new(store: RoundStore, round_: Round) -> None:
    if not store.exists():
        return
    if store.round().fingerprint != round_.fingerprint:
        raise StorageError(
            f"A round's name belongs to one specification, but {store.uri!r} holds a {round_.name!r} with another; "
            "rename this round, or give another --storage."
        )
    status = store.status()
    if status is not None and _is_live(status):
        raise StorageError(
            f"A round has one driver at a time, but {status.driver} runs {round_.name!r}; "
            f"wait for it, or end it with: {command('stop', round_.name, '--storage', store.storage.uri)}"
        )


def _is_live(status: RoundStatus) -> bool:
    if status.state != "running" or time.time() - status.seen_at_s >= DRIVER_LOST_S:
        return False
    host, _, process_id = status.driver.rpartition(":")
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(process_id), 0)  # on this machine a killed driver is known at once
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's, and there
    return True


def _datasets(workload: Workload) -> Mapping[str, object]:
    try:
        return workload.datasets()
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises becomes one sentence
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise SpecError(
            f"Workload.datasets must return the examples, but raises {type(error).__name__}: {error} "
            f"({where.filename}, line {where.lineno}); correct it."
        ) from None


def _context(round_: Round, uri: str, packed: bytes, datasets: Mapping[str, object]) -> RoundContext:
    studies = {study.name: study for study in round_.studies}
    return RoundContext(uuid.uuid4().hex, uri, packed, share(datasets), studies)


@contextlib.contextmanager
def _session(round_: Round, gangs: Gangs | None, address: str | None, console: Console) -> Iterator[Gangs]:
    """The caller's session, or one for this round alone, whose gangs go as soon as no trial is left for them."""
    if gangs is not None:
        if gangs.resources != round_.resources:
            raise SpecError(
                "Round.resources: rounds that share gangs ask for the same resources, "
                f"but got {round_.resources} for gangs of {gangs.resources}; use another session."
            )
        yield gangs
        return
    with Gangs(round_.resources, address=address, keep_idle_s=0) as own:
        yield own


@contextlib.contextmanager
def _opened(session: Gangs, context: RoundContext, *, num_left: int) -> Iterator[None]:
    ask(type(None), session.pool.open_round.remote(context, num_left), timeout_s=ANSWER_TIMEOUT_S)
    try:
        yield
    finally:
        with contextlib.suppress(ray.exceptions.RayError):  # a pool that is gone has no rounds any more
            ask(type(None), session.pool.close_round.remote(context.round_id), timeout_s=ANSWER_TIMEOUT_S)


def _announce(console: Console, round_: Round, session: Gangs, *, num_done: int) -> None:
    """What the round is, what it costs, and which rules of thumb it goes against (rules SD1, SD4, SD9, SD10, BA7)."""
    console.print(Text.assemble((round_.name, "bold"), f": {round_.goal}"), soft_wrap=True)
    console.print(f"  {price(round_).sentence(session.capacity())}", soft_wrap=True)
    if num_done:
        console.print(f"  {num_done} trials are done already; their records are kept", soft_wrap=True)
    for warning in warnings(round_):
        console.print(Text(f"  Warning {warning}"), soft_wrap=True)


def _try_out(console: Console, session: Gangs, context: RoundContext, round_: Round, *, num_left: int) -> float | None:
    """Train a few steps and evaluate on one gang; the estimate of the whole round's seconds follows from their time.

    Raises:
        InputError: the workload breaks a rule.
        RunError: its code raises.
    """
    first = suggest(round_.studies[0], 0)
    steps = min(CHECK_STEPS, first.max_train_steps)
    update = {"max_train_steps": steps, "evaluation_interval_steps": steps}
    values = first.values | {"warmup_steps": 0, "decay_steps": None}
    spec = first.model_copy(update=update | {"values": values})
    with console.status("Starting workers and checking a few steps and an evaluation ..."):
        ended = session.try_out(context, spec)
    if ended.is_input_error:
        raise SpecError(ended.error or "")
    if ended.cause in ("exception", "worker died", "node lost"):
        raise RunError(f"The check before trial 0 failed, so no trial was started.\n{(ended.traceback or '').rstrip()}")
    trial_s = _trial_s(ended, round_)
    estimate_s = None if trial_s is None else trial_s * num_left / max(1, min(session.capacity(), num_left))
    about = f"; the round will take about {duration_text(estimate_s)}" if estimate_s else ""
    console.print(f"  Check: {steps} steps and an evaluation work{about}", soft_wrap=True)
    return estimate_s


def _trial_s(ended: AttemptEnd, round_: Round) -> float | None:
    end = ended.end
    if end is None or end.step_s is None or end.evaluation_s is None:
        return None
    budget = round_.budget
    num_evaluations = 1 + -(-budget.max_train_steps // budget.evaluation_interval_steps)
    return end.step_s * budget.max_train_steps + end.evaluation_s * num_evaluations


def _say_how_it_ended(console: Console, store: RoundStore, status: RoundStatus) -> None:
    """Raises `RunError` where the round failed."""
    if status.state == "finished":
        return
    how = f"Go on with: {resume_command(store)}"
    if status.state == "failed":
        failed = [trial.last_traceback for trial in trials_of(store.trials()) if trial.outcome == "failed"]
        common = f"\n{failed[-1].rstrip()}" if failed and failed[-1] else ""
        retry = " --retry-failed" if failed else ""
        raise RunError(
            f"The round stopped: {status.reason}.{common}\nMend the cause, then: {resume_command(store)}{retry}"
        )
    console.print(f"The round stopped ({status.reason}). {how}", soft_wrap=True)
