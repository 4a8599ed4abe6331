"""What the commands of procedures are given: a job file or a round, and whether to do all of it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from raytune_playbook.cli.arguments import ADDRESS, JOB, ROUND, STORAGE
from raytune_playbook.submission.staging import require_job_file

if TYPE_CHECKING:
    from raytune_playbook.engine.jobs.job_file import Job

_Command = TypeVar("_Command", bound=Callable[..., object])

AGAIN = click.option("--again", is_flag=True, help="Do it anew, where it was done before and nothing has changed.")


def of_job(command: _Command) -> _Command:
    """Give a command a job file, and what every procedure has."""
    return JOB(AGAIN(STORAGE(ADDRESS(command))))


def of_round(command: _Command) -> _Command:
    """Give a command a round that was run, and what every procedure has."""
    return ROUND(AGAIN(STORAGE(ADDRESS(command))))


def job_at(path: str, storage: str) -> Job:
    """The job file that was named.

    Raises:
        InputError: there is none, it defines no round, or the storage cannot be written.
    """
    from raytune_playbook.records.storage import Storage

    require_job_file(Path(path))  # before ray and torch are imported, which takes seconds
    Storage(storage).check_writable()
    from raytune_playbook.engine.jobs.job_file import load_job

    return load_job(path)


def job_of_round(name: str, storage: str) -> Job:
    """The job file that a recorded round was run from; its round is as it is recorded.

    Raises:
        InputError: there is no such round, it was run from Python or by a procedure, its job file is gone or defines
            another round by now, or the storage cannot be written.
    """
    from raytune_playbook.engine.rounds.recorded import as_recorded, job_of
    from raytune_playbook.records.storage import Storage
    from raytune_playbook.records.store import RoundStore

    store = RoundStore(Storage(storage), name)
    path = job_of(store)
    require_job_file(Path(path))
    from raytune_playbook.engine.jobs.job_file import load_job

    job = load_job(path)
    return replace(job, round=as_recorded(store, job.round))
