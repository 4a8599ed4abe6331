"""Commands that hand jobs to a cluster."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from raytune_playbook.cli.arguments import DASHBOARD, JOB, STORAGE, SUBMISSION
from raytune_playbook.cli.group import FAILED, INTERRUPTED, PROGRAM, commands
from raytune_playbook.errors import RunError, SubmissionError

if TYPE_CHECKING:
    from raytune_playbook.submission.submit import JobStatus


@commands.command("submit")
@JOB
@click.option("--wait", is_flag=True, help="Until the job ends; the exit code is the run's own.")
@click.option("--follow", is_flag=True, help="Like --wait, and print what the job prints.")
@click.option("--ship-package", is_flag=True, help="Also send this package, where it is not installed.")
@STORAGE
@DASHBOARD
def _submit(job: str, *, wait: bool, follow: bool, ship_package: bool, storage: str, address: str | None) -> int:
    """Hand a job file to a Ray cluster, and print the submission's id.

    JOB is a Python file that defines a Round; its helper modules go with it. The id is the first line of the standard
    output, and what can be done with it goes to the standard error. Submitted again with the same storage, a job goes
    on with its round.
    """
    from raytune_playbook.submission.submit import Job, submit

    submission = submit(Job(job, storage=storage, ship_package=ship_package), address)
    at = [] if address is None else ["--address", address]
    click.echo(submission)
    click.echo(_what_can_be_done(submission, at), err=True)
    shipped = ["--ship-package"] if ship_package else []
    again = _command("submit", job, "--storage", storage, *at, *shipped)
    click.echo(f"The job ends with its cluster; this goes on with its round:\n  {again}", err=True)
    if not (wait or follow):
        return 0
    try:
        return _exit_code_of(_ended(submission, address, follow=follow))
    except SubmissionError as error:  # the job was accepted, so what was given is right
        raise RunError(f"{submission} is out of sight: {error} If its cluster is lost, go on with: {again}") from None
    except KeyboardInterrupt:
        click.echo(f"{submission} goes on without being waited for.", err=True)
        raise


def _what_can_be_done(submission: str, at: list[str]) -> str:
    return (
        f"Submitted as {submission}; it runs by itself.\n"
        f"  its output:       {_command('logs', submission, *at, '--follow')}\n"
        f"  how it stands:    {_command('status', submission, *at)}\n"
        f"  cancel it:        {_command('cancel', submission, *at)}"
    )


def _command(*arguments: str) -> str:
    return shlex.join([PROGRAM, *arguments])


def _ended(submission: str, address: str | None, *, follow: bool) -> JobStatus:
    """How a submission has ended, said on the standard error; `follow` prints what it printed until then."""
    from raytune_playbook.submission.submit import wait

    if follow:
        _print_logs(submission, address, follow=True)
    answer = wait(submission, address)
    # Ray's words about a failure have the log's last lines, which have been printed where it was followed.
    click.echo(answer.state if follow or not answer.message else f"{answer.state}: {answer.message}", err=True)
    return answer


@commands.command("status")
@SUBMISSION
@DASHBOARD
def _status(submission: str, address: str | None) -> int:
    """Say how a submission stands.

    The exit code is 0 while it waits or runs, and then the run's own: 0, 1, 2 or 130. It is 130 where it was cancelled,
    and 1 where it was lost.
    """
    from raytune_playbook.submission.submit import status

    answer = status(submission, address)
    click.echo(answer.state + (f": {answer.message}" if answer.message else ""))
    return _exit_code_of(answer)


def _exit_code_of(answer: JobStatus) -> int:
    """As a shell would tell it."""
    match answer.state:
        case "STOPPED":
            return INTERRUPTED
        case "FAILED":
            code = answer.exit_code or FAILED  # none where its process was lost or could not be started
            return code if code > 0 else 128 - code
        case _:
            return 0


@commands.command("logs")
@SUBMISSION
@click.option("--follow", is_flag=True, help="Until the job ends.")
@DASHBOARD
def _logs(submission: str, follow: bool, address: str | None) -> int:
    """Print what a submission has printed.

    With --follow the exit code is that of `status`, so that it tells how the job has ended.
    """
    from raytune_playbook.submission.submit import status

    _print_logs(submission, address, follow=follow)
    return _exit_code_of(status(submission, address)) if follow else 0


def _print_logs(submission: str, address: str | None, *, follow: bool) -> None:
    from raytune_playbook.submission.submit import logs

    for text in logs(submission, address, follow=follow):
        click.echo(text, nl=False)


@commands.command("cancel")
@SUBMISSION
@DASHBOARD
def _cancel(submission: str, address: str | None) -> None:
    """End a submission at once.

    What its round has recorded is kept, and the job, submitted again, goes on with it. To end a round at its next
    evaluation use `raytune-playbook stop`.
    """
    from raytune_playbook.submission.submit import cancel

    cancel(submission, address)
    click.echo(
        f"{submission} is cancelled; what its round has recorded is kept, and the job goes on with it when it is "
        "submitted again with the same storage."
    )
