"""What running, checking and retraining a round have in common: its session, its context in the pool, its log."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import ray.exceptions
from rich.console import Console
from rich.text import Text

from raytune_playbook.data.examples import Examples
from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.cluster.quiet import driver_log
from raytune_playbook.engine.cluster.termination import termination_raises
from raytune_playbook.engine.driver.driver import HeldRound
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.rounds.running import RunningRound
from raytune_playbook.engine.session import ANSWER_TIMEOUT_S, Gangs
from raytune_playbook.errors import SpecError, StorageFailure
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.profile_steps import ProfileSteps
from raytune_playbook.study.round import Round


def context_of(
    running: RunningRound, held: HeldRound | None, examples: Examples, profile: ProfileSteps | None = None
) -> RoundContext:
    """What workers are told of a round.

    Args:
        running: the round.
        held: its records; None where nothing is recorded.
        examples: that it trains on.
        profile: steps to trace.
    """
    studies = {study.name: study for study in running.round.studies}
    budget = running.round.budget
    return RoundContext(
        held.claim.run if held else uuid.uuid4().hex,
        held.store.uri if held else "",
        running.packed,
        examples,
        studies,
        num_best_checkpoints=budget.num_best_checkpoints,
        checkpoint_interval_steps=budget.checkpoint_interval_steps,
        whole_checkpoints=budget.whole_checkpoints,
        profile=profile,
        claim=held.claim.file if held else "",
    )


@contextlib.contextmanager
def logged(store: RoundStore) -> Iterator[None]:
    """What Ray and the pool log within it is kept with the round, once there is one."""
    with driver_log() as log:
        try:
            yield
        finally:
            with contextlib.suppress(StorageFailure):  # the run has said so, or the page will
                if store.exists():
                    store.storage.write(f"{store.name}/logs/driver.log", log.read_bytes())


@contextlib.contextmanager
def session_of(round_: Round, gangs: Gangs | None, address: str | None, *, keep_idle_s: float = 0.0) -> Iterator[Gangs]:
    """The caller's session, or one of its own, whose gangs go when no trial is left for them for so long.

    Raises:
        SpecError: the caller's gangs are others than the round asks for.
    """
    if gangs is not None:
        if gangs.resources != round_.resources:
            raise SpecError(
                "Round.resources: rounds that share gangs ask for the same resources, "
                f"but got {round_.resources} for gangs of {gangs.resources}; use another session."
            )
        with gangs.losses_told():
            yield gangs
        return
    with Gangs(round_.resources, address=address, keep_idle_s=keep_idle_s) as own, own.losses_told():
        yield own


@contextlib.contextmanager
def opened(session: Gangs, context: RoundContext, *, num_left: int) -> Iterator[None]:
    """Within it the pool takes trials of the round."""
    answer_of(session.pool.open_round.remote(context, num_left), timeout_s=ANSWER_TIMEOUT_S)
    try:
        with termination_raises():
            yield
    finally:
        with contextlib.suppress(ray.exceptions.RayError):  # a pool that is gone has no rounds any more
            answer_of(session.pool.close_round.remote(context.round_id), timeout_s=ANSWER_TIMEOUT_S)


def say_goal(console: Console, round_: Round) -> None:
    """What is about to begin, before what takes its time."""
    console.print(Text.assemble((round_.name, "bold"), f": {round_.goal}"), soft_wrap=True)
