"""A round that is about to run, as `run`, `check` and what they call share it."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

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
    """

    round: Round
    packed: bytes
    session: Gangs
    console: Console
    found: FoundExamples | None = None
