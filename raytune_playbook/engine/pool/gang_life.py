"""One gang's life in the pool: start, then trial after trial, until it is retired or lost.

An attempt starts only after the driver has recorded it, and its end follows the retry rule (DESIGN decision 2).
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import ray

from raytune_playbook.engine.cluster.calls import kill_actor
from raytune_playbook.engine.cluster.capacity import num_gangs_in_all, num_gangs_now
from raytune_playbook.engine.cluster.orphans import remove_orphans
from raytune_playbook.engine.gang.host import GangLost
from raytune_playbook.engine.gang.messages import Assignment, AttemptEnd, Cause
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, GangChanged
from raytune_playbook.engine.pool.queue import QueuedTrial
from raytune_playbook.engine.pool.starts import may_start_again
from raytune_playbook.engine.pool.state import PooledGang, PoolState
from raytune_playbook.records.places import below

MAX_FAILED_STARTS = 3
"""Consecutive failed starts, of whichever gangs, after which the round is given up."""

WAIT_S = 2.0
"""How long a gang without work waits before it looks whether its hosts are about to be taken away."""

ORPHANED_S = 15.0
"""Within this a killed host's controller is dead, and what it had asked for can be removed."""

LAST_WORDS_S = 2.0
"""A controller whose process still dies may see that its room is taken away, and ask for it anew, within this."""


async def serve(state: PoolState, gang: PooledGang) -> None:
    """One gang's life: start, then trial after trial, until it is retired or lost."""
    try:
        while not gang.is_to_retire and await _started(state, gang):
            await _run_next(state, gang)
    except ray.exceptions.RayError as error:  # the host itself died; the manager starts another gang
        gang.become(GangState.LOST)
        _say(state, f"{gang.name} lost its host: {str(error).splitlines()[0]}")
    finally:
        _settle(state, gang, AttemptEnd(Cause.STOPPED, error="its gang is gone"))  # lest anyone wait for its end
        await _let_go(state, gang)


async def _started(state: PoolState, gang: PooledGang) -> bool:
    if gang.state is GangState.READY:
        return True
    _say(state, f"{gang.name} starts")
    gang.starts_in_room = num_gangs_now(state.resources) > 0
    timeout_s = state.resources.start_timeout_s if gang.starts_in_room else state.resources.wait_for_nodes_s
    try:
        started = await gang.host.start.remote(timeout_s)
    except ray.exceptions.RayTaskError as error:
        state.num_failed_starts += 1
        cause = error.cause if isinstance(error.cause, GangLost) else error
        gang.become(GangState.LOST)
        _say(state, f"{gang.name}: {cause}")
        has_others = any(other.state.has_workers for other in state.gangs)
        if state.num_failed_starts >= MAX_FAILED_STARTS and not has_others:
            state.failure = f"workers cannot start: {str(cause).splitlines()[0]}"
        return False
    finally:
        gang.starts_in_room = False
    gang.become(GangState.READY)
    gang.num_starts, gang.idle_since_s, state.num_failed_starts = started.num_starts, time.monotonic(), 0
    _say(state, f"{gang.name} is ready after {started.took_s:.1f} s")
    return True


async def _run_next(state: PoolState, gang: PooledGang) -> None:
    trial = state.queue.next()
    if trial is None:
        await state.changes.wait(WAIT_S)
        if hosts := await gang.host.drained_hosts.remote():
            await _restart(state, gang, f"{gang.name} leaves {', '.join(hosts)}, which is being drained")
        return
    gang.become(GangState.BUSY)
    gang.trial = trial
    try:
        ended = await _attempt(state, gang, trial)
    except ray.exceptions.RayError as error:
        _settle(state, gang, AttemptEnd(Cause.WORKER_DIED, error=str(error).splitlines()[0], traceback=str(error)))
        raise
    _settle(state, gang, ended)
    gang.idle_since_s = time.monotonic()
    if ended.restarts_gang:
        why = (ended.error or ended.warning or "as asked").strip().splitlines()[0]
        await _restart(state, gang, f"the workers of {gang.name} go: {why}")
    else:
        gang.become(GangState.READY)


async def _restart(state: PoolState, gang: PooledGang, sentence: str) -> None:
    """End a gang's workers; it starts new ones where a whole gang still fits, and is retired elsewhere."""
    gang.become(GangState.RESTARTING)
    _say(state, sentence)
    has_left = await gang.host.leave.remote()
    num_others = sum(not other.is_to_retire for other in state.gangs) - 1
    fits = may_start_again(num_others=num_others, num_fitting=num_gangs_in_all(state.resources))
    gang.is_to_retire = gang.is_to_retire or not has_left or not fits or not state.queue.num_left


async def _attempt(state: PoolState, gang: PooledGang, trial: QueuedTrial) -> AttemptEnd:
    trial.num_attempts += 1
    number = state.queue.emit(trial, AttemptStarted(trial.attempt, gang.name))
    while (round_ := state.queue.round(trial.round_id)) is not None:
        if number is None or round_.events.is_acknowledged(number):
            break
        await state.changes.wait(WAIT_S)
    if round_ is None or trial.is_to_stop:
        return AttemptEnd(Cause.STOPPED)
    context = round_.context
    spec, attempt = trial.spec, trial.num_attempts
    assignment = Assignment(
        number=0,
        round_id=trial.round_id,
        trial=spec,
        attempt=attempt,
        logs=below(context.uri, f"{spec.study}/logs") if trial.is_recorded else state.scratch,
        log_name=f"{spec.key}.attempt{attempt}" if trial.is_recorded else "check",
        keeps_checkpoints=trial.is_recorded,
    )
    return await gang.host.run.remote(assignment)


def _settle(state: PoolState, gang: PooledGang, ended: AttemptEnd) -> None:
    trial, gang.trial = gang.trial, None
    if trial is None:
        return
    is_final = state.queue.settle(trial, ended)
    state.queue.emit(trial, AttemptEnded(trial.attempt, ended, is_final))
    state.changes.notify()


async def _let_go(state: PoolState, gang: PooledGang) -> None:
    gang.become(GangState.RETIRING)
    has_left = False
    try:
        with contextlib.suppress(ray.exceptions.RayActorError):
            has_left = await gang.host.leave.remote()
        kill_actor(gang.host)
        if not has_left:  # it was killed while it waited for room, or with its workers; what it had asked for stays
            deadline_s = time.monotonic() + ORPHANED_S
            while time.monotonic() < deadline_s:
                if remove_orphans():
                    deadline_s = time.monotonic() + LAST_WORDS_S
                await asyncio.sleep(0.5)
    finally:
        state.gangs.remove(gang)
        gang.become(GangState.RETIRED)
        _say(state, f"{gang.name} gave its resources back")


def _say(state: PoolState, sentence: str) -> None:
    state.queue.emit_to_all(GangChanged(sentence))
