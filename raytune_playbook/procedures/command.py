"""The commands of procedures as text: what reproduces one, and what a record proposes to run next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.types import Part
from raytune_playbook.study.round import Round

if TYPE_CHECKING:  # advice needs commands, and neither ray nor torch
    from raytune_playbook.engine.jobs.job_file import Job
    from raytune_playbook.engine.rounds.running import Place

Option: TypeAlias = str | int | float | bool | None


def command_of(verb: str, subject: str, storage: str, options: Mapping[str, Option] | None = None) -> str:
    """A shell command that runs a procedure.

    Args:
        verb: the procedure's, such as ``batch-size``.
        subject: a job file, or a round's name.
        storage: of its rounds; not said where it is the default.
        options: by the names of the function's arguments; None and False are left out, True is a flag.
    """
    words = ["raytune-playbook", verb, subject]
    for name, value in (options or {}).items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    if storage != DEFAULT_STORAGE:
        words += ["--storage", storage]
    return shlex.join(words)


def another_question(job: str | None) -> str:
    """What follows where neither the findings of a round ask for another study, nor its candidate is launched."""
    what = "define" if job is None else f"give a copy of {job}"
    return f"Ask another question in a new round: {what} another name and goal, vary what it is about, and run it."


def part_of_round(verb: str, round_: Round, place: Place, options: Mapping[str, Option] | None = None) -> Part:
    """The procedure of a round that was run: what its own rounds are part of."""
    return _part(verb, round_, place, round_.name, options)


def part_of_job(verb: str, round_: Round, place: Place, options: Mapping[str, Option] | None = None) -> Part:
    """The procedure of a job, whose round may not have been run."""
    return _part(verb, round_, place, job_path(place.job), options)


def job_path(job: Job | None) -> str:
    """A job file as a command names it from where we are; a placeholder for a round of the Python API."""
    if job is None:
        return "JOB.py"
    return shown_path(job.path)


def shown_path(path: Path) -> str:
    """A file as a command names it from where we are: relative where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def is_same_command(a: str, b: str) -> bool:
    """Whether two commands ask for the same of one round, wherever its job file was named from."""
    return _asked(a) == _asked(b)


def _asked(command: str) -> list[str]:
    if not command.startswith("raytune-playbook "):
        return [command]
    words = shlex.split(command)
    return words[1:2] + words[3:]


def _part(verb: str, round_: Round, place: Place, subject: str, options: Mapping[str, Option] | None) -> Part:
    if place.job is None:
        given = ", ".join(f"{name}={value!r}" for name, value in (options or {}).items() if value not in (None, False))
        command = f"raytune_playbook.{verb.replace('-', '_')}(round{', ' if given else ''}{given})"
    else:
        command = command_of(verb, subject, place.storage, options)
    return Part(procedure=verb, round=round_.name, command=command, job=str(place.job.path) if place.job else None)
