"""The commands that advice names: of a job file or of a round, from the shell or, of a round of Python's, in Python."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from raytune_playbook.procedures.advise.recorded import ProjectRecords, RecordedRound
from raytune_playbook.procedures.command import Option, command_of
from raytune_playbook.records.procedures import ProcedureRecord

NEW_JOB = "my_job.py"
"""What a newcomer's job file may be called."""

PROGRAM = "raytune-playbook"


def of_job(verb: str, project: ProjectRecords, storage: str) -> str:
    """What does something with the project's job: that of its newest round, or that which procedures were given."""
    job = job_text(project)
    return command_of(verb, job, storage) if job is not None else _in_python(verb)


def job_text(project: ProjectRecords) -> str | None:
    """The project's job file, as one names it from here; None where its newest round is of the Python API."""
    if project.newest is not None:
        return _shown(project.newest.job) if project.newest.job else None
    return next((job for record in reversed(project.procedures) if (job := _given_job(record)) is not None), None)


def of_round(verb: str, round_: RecordedRound, storage: str, options: Mapping[str, Option] | None = None) -> str:
    """What does something with a round that was run."""
    if round_.job is None:
        return "raytune_playbook.propose(round, result)" if verb == "propose" else _in_python(verb)
    asked = {"complexity": "none"} if verb == "launch" else options  # rule AD4: it has to be said
    return command_of(verb, round_.name, storage, asked)


def named_next(verb: str, records: Sequence[ProcedureRecord], subject: str | None = None) -> str | None:
    """The command of a verb that the latest of some records names as the next; None where none does.

    Args:
        subject: the round that it must be about; None for any.
    """
    for record in reversed(records):
        for following in record.next:
            command = following.command
            if command is not None and _verb(command) == verb and subject in (None, *shlex.split(command)[2:3]):
                return command
    return None


def _shown(path: str) -> str:
    """A job file as one names it from here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _in_python(verb: str) -> str:
    return f"raytune_playbook.{verb.replace('-', '_')}(round)"


def _verb(command: str) -> str | None:
    if command.startswith("raytune_playbook."):
        return command.removeprefix("raytune_playbook.").partition("(")[0].replace("_", "-")
    words = shlex.split(command)
    return words[1] if len(words) > 1 and words[0] == PROGRAM else None


def _given_job(record: ProcedureRecord) -> str | None:
    """The job file that a procedure was given; None where that was a round."""
    if not record.command.startswith(f"{PROGRAM} "):
        return None
    words = shlex.split(record.command)
    return words[2] if len(words) > 2 and words[2].endswith(".py") else None
