"""Commands that run rounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from raytune_playbook.cli.arguments import ADDRESS, JOB, ROUND, STORAGE
from raytune_playbook.cli.group import EXIT_0_IF_HOPELESS, FAILED, HOPELESS, INTERRUPTED, commands
from raytune_playbook.errors import PlaybookError

if TYPE_CHECKING:
    from raytune_playbook.engine.rounds.result import Result
    from raytune_playbook.study.round import Round


@commands.command("run")
@JOB
@click.option("--profile", metavar="FIRST-LAST", help="Training steps of trial 0 of each study that a profiler traces.")
@click.option(
    EXIT_0_IF_HOPELESS,
    is_flag=True,
    help="Exit with 0 where the run failed and no other try can mend it, for whoever starts failed jobs again.",
)
@STORAGE
@ADDRESS
def _run(job: str, *, profile: str | None, exit_0_if_hopeless: bool, storage: str, address: str | None) -> int:
    """Run the round that a job file defines, or go on with it.

    JOB is a Python file that defines a Round.
    """
    round_: Round | None = None
    failure: PlaybookError | None = None
    try:
        _look_at(job, storage)
        from raytune_playbook.engine.jobs.job_file import load_job
        from raytune_playbook.engine.rounds.run import run

        loaded = load_job(job)
        round_ = loaded.round
        code = _exit_code(run(round_, storage=storage, address=address, job=loaded, profile=profile))
        if code != FAILED or not exit_0_if_hopeless:
            return code
    except PlaybookError as error:
        if error.retry_helps or not exit_0_if_hopeless:
            raise
        failure = error
        click.echo(error, err=True)
    _give_up(round_, storage, failure)
    return 0


def _give_up(round_: Round | None, storage: str, failure: PlaybookError | None) -> None:
    """Say that the run failed for good, here and in its round's records; None where the job defines no round."""
    from raytune_playbook.engine.rounds.hopeless import note_hopeless

    click.echo(HOPELESS, err=True)
    if round_ is not None:
        note_hopeless(round_, storage, failure)


@commands.command("resume")
@ROUND
@click.option("--retry-failed", is_flag=True, help="Also run the trials that failed.")
@STORAGE
@ADDRESS
def _resume(round: str, retry_failed: bool, storage: str, address: str | None) -> int:
    """Finish what is left of a round."""
    from raytune_playbook.engine.rounds.recorded import job_of
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    _look_at(job_of(RoundStore(Storage(storage), round)))
    from raytune_playbook.engine.rounds.run import resume

    return _exit_code(resume(round, storage=storage, address=address, retry_failed=retry_failed))


@commands.command("extend")
@ROUND
@click.option("--num-trials", type=int, required=True, metavar="N", help="How many it shall have in all.")
@STORAGE
@ADDRESS
def _extend(round: str, num_trials: int, storage: str, address: str | None) -> int:
    """Give a round more trials, and run them."""
    from raytune_playbook.engine.rounds.recorded import job_to_extend
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    _look_at(job_to_extend(RoundStore(Storage(storage), round), num_trials))
    from raytune_playbook.engine.rounds.run import extend

    return _exit_code(extend(round, num_trials, storage=storage, address=address))


def _look_at(job: str, storage: str | None = None) -> None:
    """Refuse what needs no more than a look, before ray and torch are imported, which takes seconds."""
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.submission.staging import require_job_file

    require_job_file(Path(job))
    if storage is not None:
        Storage(storage).check_writable()


def _exit_code(result: Result) -> int:
    from raytune_playbook.report.terminal import no_answer

    status = result.store.status()
    if status is not None and status.reason == "interrupted":
        return INTERRUPTED
    return 0 if no_answer(result.store) is None else FAILED


@commands.command("stop")
@ROUND
@click.option("--trial", metavar="STUDY/INDEX", help="Of the round's trials, the one to end.")
@STORAGE
def _stop(round: str, trial: str | None, storage: str) -> None:
    """End a running round, or one of its trials, at the next evaluation."""
    from raytune_playbook.records.driving.requests import stop

    click.echo(stop(round, storage=storage, trial=trial))


@commands.command("check")
@JOB
@STORAGE
@ADDRESS
def _check(job: str, storage: str, address: str | None) -> None:
    """Train a few steps of each study and evaluate, and record nothing.

    JOB is a Python file that defines a Round.
    """
    _look_at(job)
    from raytune_playbook.engine.jobs.job_file import load_job
    from raytune_playbook.engine.rounds.run import check

    check(load_job(job).round, storage=storage, address=address)


@commands.command("preprocess")
@JOB
@STORAGE
@ADDRESS
def _preprocess(job: str, storage: str, address: str | None) -> None:
    """Preprocess a job's examples once and save them for later runs.

    JOB is a Python file that defines a Round.
    """
    _look_at(job, storage)
    from raytune_playbook.engine.jobs.job_file import load_job
    from raytune_playbook.engine.rounds.preprocess import preprocess

    preprocess(load_job(job).round, storage=storage, address=address)
