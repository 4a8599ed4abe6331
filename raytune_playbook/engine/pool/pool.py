"""The pool: starts, leases and retires gangs, and keeps the queue of trials that wait for one.

One actor per session. Tune's trials put themselves into the queue and wait; each gang takes the next trial from it.
What is retried is the trial in this queue, so another gang may take what one gang lost (DESIGN decision 2). An attempt
starts only after the driver has recorded it: the driver fetches events with `news`, whose argument acknowledges all
earlier ones.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Coroutine
from typing import cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.cluster.capacity import num_gangs_in_all, num_gangs_now
from raytune_playbook.engine.gang.handles import PoolOfGang
from raytune_playbook.engine.gang.host import start_host
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName, Cause, NothingYet, TrialKey
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.pool.events import NewMeasurements, News
from raytune_playbook.engine.pool.gang_life import serve
from raytune_playbook.engine.pool.handle import PoolHandle
from raytune_playbook.engine.pool.queue import QueuedTrial
from raytune_playbook.engine.pool.starts import GangCounts, num_to_start, num_wanted
from raytune_playbook.engine.pool.state import GangFacts, PooledGang, PoolState
from raytune_playbook.records.columns import STEP, MeasurementRow
from raytune_playbook.study.settings import Resources
from raytune_playbook.study.trial import TrialSpec, index_and_repeat

POLL_S = 20.0
MANAGE_S = 2.0


class Pool:
    """Runs in an asyncio loop; every method returns within `POLL_S`.

    Args:
        resources: of each gang.
        keep_idle_s: how long a gang without work keeps its resources.
    """

    def __init__(self, resources: Resources, keep_idle_s: float) -> None:
        self._resources, self._keep_idle_s = resources, keep_idle_s
        self._me = cast(PoolOfGang, ray.get_runtime_context().current_actor)
        self._node_id = ray.get_runtime_context().get_node_id()
        self._scratch = tempfile.TemporaryDirectory(prefix="raytune-playbook-")
        state = self._state = PoolState(resources, self._scratch.name)
        self._queue, self._gangs, self._changes = state.queue, state.gangs, state.changes
        self._names = itertools.count(1)
        self._last_gang_at_s = time.monotonic()
        self._serving: set[asyncio.Task[None]] = set()
        self._manager: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ rounds

    async def open_round(self, context: RoundContext, num_left: int) -> None:
        """Make a round's workload and data known; ``num_left`` trials will be asked for."""
        self._queue.open(context, num_left)
        self._state.failure, self._state.num_failed_starts = None, 0
        self._last_gang_at_s = time.monotonic()
        if self._manager is None or self._manager.done():
            self._manager = self._watched(self._manage())
        self._changes.notify()

    async def close_round(self, round_id: str) -> None:
        """Forget a round; its trials end as stopped."""
        await self.stop_round(round_id)
        self._queue.close(round_id)
        self._changes.notify()

    async def round_context(self, round_id: str) -> RoundContext | None:
        """For workers, once per round; None when it has been closed."""
        return self._queue.context(round_id)

    async def stop_round(self, round_id: str) -> None:
        """End the waiting trials now and the running ones at their next reporting interval, as stopped."""
        for trial in self._queue.stop(round_id):
            await self._stop_running(trial)
        self._changes.notify()

    async def stop_trial(self, round_id: str, key: TrialKey) -> bool:
        """End one trial as stopped; False where it neither runs nor waits for a gang."""
        trial = self._queue.find(round_id, key)
        if trial is None or trial.final is not None:
            return False
        if not self._queue.stop_trial(trial):
            await self._stop_running(trial)
        self._changes.notify()
        return True

    async def _stop_running(self, trial: QueuedTrial) -> None:
        for gang in list(self._gangs):
            if gang.trial is trial:
                await gang.host.stop_trial.remote(trial.attempt)

    # ------------------------------------------------------------------ trials

    async def submit(self, round_id: str, study: str, key: str) -> None:
        """Put a trial of a round into the queue."""
        self._queue.submit(round_id, study, *index_and_repeat(key))
        self._changes.notify()

    async def wait_cause(self, round_id: str, study: str, key: str) -> Cause | NothingYet:
        """How a trial ended for good."""
        ended = await self._ended(self._queue.find(round_id, (study, key)))
        if ended is None:
            return NothingYet()
        if (round_ := self._queue.round(round_id)) is not None:
            leases, deadline_s = round_.leases, time.monotonic() + POLL_S
            while not leases.may_return() and time.monotonic() < deadline_s:
                await self._changes.wait(deadline_s - time.monotonic())
            leases.num_returned += 1
        return ended.cause

    async def try_out(self, round_id: str, spec: TrialSpec) -> None:
        """Put a trial that is not recorded into the queue."""
        self._queue.try_out(round_id, spec)
        self._changes.notify()

    async def tried_out(self, round_id: str, spec: TrialSpec) -> AttemptEnd | NothingYet:
        """How it ended."""
        return await self._ended(self._queue.find(round_id, (spec.study, spec.key))) or NothingYet()

    async def _ended(self, trial: QueuedTrial | None) -> AttemptEnd | None:
        deadline_s = time.monotonic() + POLL_S
        while trial is not None and trial.final is None and time.monotonic() < deadline_s:
            if self._state.failure is not None and not trial.is_recorded:
                break  # who waits for a check asks for news next; recorded trials are ended by the driver
            await self._changes.wait(deadline_s - time.monotonic())
        return AttemptEnd(Cause.STOPPED) if trial is None else trial.final

    async def new_measurements(self, attempt: AttemptName, rows: tuple[MeasurementRow, ...]) -> None:
        """Measurements of a running attempt, from its gang's host."""
        for trial in [gang.trial for gang in self._gangs if gang.trial is not None]:
            if trial.attempt == attempt:
                trial.reported_step = max([trial.reported_step, *(int(row[STEP] or 0) for row in rows)])
                self._queue.emit(trial, NewMeasurements(attempt, rows))

    # ------------------------------------------------------------------ for the driver

    async def news(self, round_id: str, after: int, num_slots: int) -> News:
        """A round's events with numbers above ``after``, all up to which are acknowledged; waits a while for one.

        ``num_slots`` is how many trials Tune keeps live at once from now on.
        """
        round_ = self._queue.round(round_id)
        if round_ is None:
            raise ValueError(f"round {round_id} was closed, so there is no news of it")
        round_.leases.num_slots = num_slots
        round_.events.acknowledge(after)
        deadline_s = time.monotonic() + 0.5  # short, since the driver has a display to refresh
        while not round_.events.pending and self._state.failure is None and time.monotonic() < deadline_s:
            await self._changes.wait(deadline_s - time.monotonic())
        return News(round_.events.pending, {gang.name: gang.state for gang in self._gangs}, self._state.failure)

    async def gangs(self) -> list[GangFacts]:
        """All gangs that have not been retired."""
        facts = []
        for gang in list(self._gangs):
            process_ids = await gang.host.processes.remote() if gang.state.has_workers else {}
            facts.append(GangFacts(gang.name, gang.state, gang.num_starts, process_ids))
        return facts

    async def shut_down(self) -> None:
        """Retire all gangs."""
        if self._manager is not None:
            self._manager.cancel()
        for gang in self._gangs:
            gang.is_to_retire = True
        self._changes.notify()
        await asyncio.gather(*self._serving, return_exceptions=True)

    # ------------------------------------------------------------------ gangs

    async def _manage(self) -> None:
        """Start gangs as trials and room allow, and let idle ones go."""
        while True:
            try:
                self._retire_idle()
                self._start_wanted()
                self._require_gangs()
            except ray.exceptions.RayError as error:  # the cluster did not answer; ask again
                self._state.failure = self._state.failure if self._gangs else f"the cluster does not answer: {error}"
            await self._changes.wait(MANAGE_S)

    def _retire_idle(self) -> None:
        excess = len(self._gangs) - self._queue.num_left
        now_s = time.monotonic()
        for gang in self._gangs:
            if (
                excess > 0
                and gang.state is GangState.READY
                and not gang.is_to_retire
                and now_s - gang.idle_since_s >= self._keep_idle_s
            ):
                gang.is_to_retire = True
                excess -= 1
        self._changes.notify()

    def _start_wanted(self) -> None:
        counts, num_left = GangCounts.of(self._gangs), self._queue.num_left
        if not num_wanted(counts, num_left):  # nothing to ask the cluster for
            return
        num = num_to_start(
            counts,
            num_trials_left=num_left,
            num_fitting=num_gangs_in_all(self._resources),
            num_fitting_now=num_gangs_now(self._resources),
        )
        for _ in range(num):
            self._start_gang()

    def _require_gangs(self) -> None:
        has_gang = any(gang.state.has_workers for gang in self._gangs)
        # A start in room that was free, and is still there, has a deadline of its own.
        starts = any(gang.starts_in_room for gang in self._gangs) and num_gangs_in_all(self._resources)
        if has_gang or starts or not self._queue.num_left:
            self._last_gang_at_s = time.monotonic()
        elif time.monotonic() - self._last_gang_at_s > self._resources.wait_for_nodes_s:
            self._state.failure = (
                f"no gang of {self._resources.num_workers} worker(s) could start within "
                f"{self._resources.wait_for_nodes_s:.0f} s (Resources.wait_for_nodes_s); free or add nodes, then resume"
            )

    def _start_gang(self) -> None:
        name = f"gang-{next(self._names)}"
        # Beside the driver, on a node that is not preempted; Train pins its controller there too.
        host = start_host(name, self._resources, self._me, self._node_id)
        gang = PooledGang(name, host)
        self._gangs.append(gang)
        serving = self._watched(serve(self._state, gang))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    def _watched(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A task in the background, whose death ends the rounds: they would wait for ever for what it does."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._look_at_end)
        return task

    def _look_at_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._state.failure = f"the pool of gangs failed with {type(error).__name__}: {error}"
            self._changes.notify()


def start_pool(resources: Resources, keep_idle_s: float) -> PoolHandle:
    """A new pool on the driver's node; it dies with the driver, which owns it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=0)(Pool).options(scheduling_strategy=here)
    return cast(PoolHandle, actor.remote(resources, keep_idle_s))
