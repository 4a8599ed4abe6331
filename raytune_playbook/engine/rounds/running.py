"""A round that is about to run, as `run`, `check` and what they call share it."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.rounds.found_examples import FoundExamples
from raytune_playbook.engine.session import Gangs
from raytune_playbook.study.round import Round


@dataclass(frozen=True)
class RunningRound:
    """A round and where it runs.

    Fields:
        packed: its workload, as bytes that any worker can load.
        session: whose gangs train it.
        console: where to print.
        found: its examples; None where finding them needs Ray.
        says_examples: whether to say what they are; a retraining and the later rounds of a procedure have known ones.
    """

    round: Round
    packed: bytes
    session: Gangs
    console: Console
    found: FoundExamples | None = None
    says_examples: bool = True


@dataclass(frozen=True)
class Place:
    """Where a round is run and recorded.

    Fields:
        storage: folder or URI under which the round gets a folder of its name.
        console: where to print.
        gangs: a session to share; None for one of its own.
        address: of a Ray cluster; None for ``RAY_ADDRESS``, or else this machine.
        job: the job file that the round came from, for the record.
    """

    storage: str
    console: Console
    gangs: Gangs | None = None
    address: str | None = None
    job: Job | None = None
