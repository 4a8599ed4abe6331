"""Commands that hand jobs to a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from raytune_playbook.cli.arguments import DASHBOARD, JOB, STORAGE, SUBMISSION
from raytune_playbook.cli.group import FAILED, INTERRUPTED, commands

if TYPE_CHECKING:
    from raytune_playbook.submission.submit import JobStatus


@commands.command("submit")
@JOB
@click.option("--ship-package", is_flag=True, help="Also send this package, where it is not installed.")
@STORAGE
@DASHBOARD
def _submit(job: str, ship_package: bool, storage: str, address: str | None) -> None:
    """Hand a job file to a Ray cluster, and print the submission's id.

    JOB is a Python file that defines a Round; its helper modules go with it.
    """
    from raytune_playbook.submission.submit import Job, submit

    click.echo(submit(Job(job, storage=storage, ship_package=ship_package), address))


@commands.command("status")
@SUBMISSION
@DASHBOARD
def _status(submission: str, address: str | None) -> int:
    """Say how a submission stands.

    The exit code is 0 while it waits or runs and when it has succeeded, 1 when it has failed, 130 when it was stopped.
    """
    from raytune_playbook.submission.submit import status

    answer = status(submission, address)
    click.echo(answer.state + (f": {answer.message}" if answer.message else ""))
    return _exit_code_of(answer)


def _exit_code_of(answer: JobStatus) -> int:
    return {"FAILED": FAILED, "STOPPED": INTERRUPTED}.get(answer.state, 0)


@commands.command("logs")
@SUBMISSION
@click.option("--follow", is_flag=True, help="Until the job ends.")
@DASHBOARD
def _logs(submission: str, follow: bool, address: str | None) -> int:
    """Print what a submission has printed.

    With --follow the exit code is that of `status`, so that it tells how the job has ended.
    """
    from raytune_playbook.submission.submit import logs, status

    for text in logs(submission, address, follow=follow):
        click.echo(text, nl=False)
    return _exit_code_of(status(submission, address)) if follow else 0
