"""A gang's host: an actor that owns one `TorchTrainer.fit()` and feeds its workers trial after trial.

A Train worker group takes many seconds to start. Owned by this actor, and not by a Tune trial, it outlives every
`Tuner.fit` (DESIGN decision 1). When `fit()` ends for whatever reason the host starts it again under a new name.

How soon a fault ends an attempt: a dead worker or a killed node, as soon as Train or Ray notices (about 1 s); a node
out of reach, `SILENT_S` + `CONNECT_S`; a worker that hangs, ``collective_timeout_s`` + `LAGGARD_S` + `EXIT_S`; a node
that is drained, `DRAIN_CHECK_S` and a heartbeat, and then the next reporting interval.
"""

from __future__ import annotations

import tempfile
import threading
import time
from typing import cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.cluster.node_health import lost_nodes
from raytune_playbook.engine.cluster.ray_internals import TRAIN_ENVIRONMENT
from raytune_playbook.engine.gang import attempt as verdict
from raytune_playbook.engine.gang.attempt import RunningAttempt
from raytune_playbook.engine.gang.changes import Changes
from raytune_playbook.engine.gang.handles import HostHandle, PoolOfGang
from raytune_playbook.engine.gang.messages import (
    Assignment,
    AttemptEnd,
    AttemptName,
    Cause,
    Hello,
    NoMoreTrials,
    NothingYet,
    Started,
    Wish,
    WorkerEnd,
)
from raytune_playbook.engine.gang.train_run import Fit, WorkerConfig, drained_hosts_of, kill, run_fit
from raytune_playbook.records.columns import MeasurementRow
from raytune_playbook.study.settings import Resources

POLL_S = 20.0
"""How long a worker's question for an assignment waits before it is answered with `NothingYet`."""

LAGGARD_S = 10.0
"""After one worker of an attempt has ended, the others have this long to end too; then the gang is restarted."""

RETURN_S = 30.0
"""How long workers that were asked to return may take."""

EXIT_S = 5.0
"""Workers that were told to exit and have not within this, being stopped or stuck, are killed."""

SILENT_S = 6.0
"""When a worker has given no sign of life for this long, its node is asked whether it is still there."""

DRAIN_CHECK_S = 3.0
"""How often a host looks whether a node of its workers is about to be taken away."""

CHECK_S = 0.5


def start_host(name: str, resources: Resources, pool: PoolOfGang, node_id: str) -> HostHandle:
    """A new host on the given node; it dies with the pool, which owns it."""
    # Train's helpers that free the resources of a run which was cut off look for the cluster by themselves, in vain
    # where a machine shows several.
    address = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    actor = ray.remote(num_cpus=0, max_restarts=0)(Host).options(
        runtime_env={"env_vars": TRAIN_ENVIRONMENT | address},
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
    )
    return cast(HostHandle, actor.remote(name, resources, pool))


class GangLost(Exception):  # noqa: N818 - a state of the gang that its pool handles, not a bug
    """`fit()` ended, or could not start."""


class Host:
    """Runs in an asyncio loop; every method returns within `POLL_S` but `run`, which its pool watches over."""

    def __init__(self, name: str, resources: Resources, pool: PoolOfGang) -> None:
        self._name, self._resources, self._pool = name, resources, pool
        self._me = cast(HostHandle, ray.get_runtime_context().current_actor)
        self._scratch = tempfile.TemporaryDirectory(prefix="raytune-playbook-")
        self._fit: Fit | None = None
        self._num_starts = 0
        self._number = 0
        self._attempt: RunningAttempt | None = None
        self._changes = Changes()
        self._to_stop: AttemptName | None = None
        self._drains_at_s = 0.0

    # ------------------------------------------------------------------ called by the pool

    async def start(self, timeout_s: float) -> Started:
        """Have all workers ready.

        Raises:
            GangLost: they did not start within ``timeout_s``, or `fit()` ended.
        """
        if self._is_ready():
            return Started(self._num_starts)
        if not await self.leave():
            raise GangLost(f"the last workers of {self._name} do not return")
        fit = self._fit = Fit(generation=self._num_starts + 1)
        self._num_starts += 1
        threading.Thread(target=self._run_fit, args=(fit,), name=f"fit-{fit.generation}", daemon=True).start()
        while len(fit.hellos) < self._resources.num_workers:
            if fit.ended.is_set():
                raise GangLost(f"the workers of {self._name} ended while they started: {fit.error}")
            if time.monotonic() - fit.started_at_s > timeout_s:
                raise GangLost(f"the workers of {self._name} did not start within {timeout_s:.0f} s")
            await self._changes.wait(CHECK_S)
        return Started(self._num_starts, time.monotonic() - fit.started_at_s)

    async def run(self, assignment: Assignment) -> AttemptEnd:
        """Run one attempt to its end, whatever that is; the workers must have been started."""
        fit = self._fit
        if fit is None or fit.ended.is_set():
            return AttemptEnd(Cause.WORKER_DIED, error=fit.error if fit else "not started", restarts_gang=True)
        self._number += 1
        attempt = self._attempt = RunningAttempt(Assignment(**{**vars(assignment), "number": self._number}))
        self._changes.notify()
        try:
            while not self._all_ended(attempt):
                if fit.ended.is_set():
                    is_node_lost = bool(await lost_nodes(fit.node_ids))
                    return verdict.lost(
                        attempt, verdict.machine_of(fit, self._resources), fit.error, is_node_lost=is_node_lost
                    )
                if reason := self._stuck(attempt) or await self._cut_off(fit, attempt):
                    return await self._abort(fit, attempt, reason)
                self._look_for_drains(fit, attempt)
                await self._changes.wait(CHECK_S)
            return verdict.ended(
                attempt,
                verdict.machine_of(fit, self._resources),
                stop_wanted=self._is_to_stop(attempt),
                fresh_workers=self._resources.fresh_workers,
            )
        finally:
            self._attempt = None

    async def stop_trial(self, attempt: AttemptName) -> None:
        """Ask the workers to end an attempt at its next reporting interval; it may be yet to run."""
        self._to_stop = attempt

    async def leave(self) -> bool:
        """Let the workers return, so that `fit()` ends and its resources are given back.

        Returns:
            Whether it has ended; if not, only killing this host, which owns everything, gives them back.
        """
        fit = self._fit
        if fit is None:
            return True
        if fit.leaving_since_s is None:
            fit.leaving_since_s = time.monotonic()
        self._changes.notify()
        # Workers that were never there, for want of room, will not return either.
        deadline_s = fit.leaving_since_s + (RETURN_S if fit.hellos else 0)
        while not fit.ended.is_set() and time.monotonic() < deadline_s:
            await self._changes.wait(CHECK_S)
        if fit.ended.is_set():
            self._fit = None
        return fit.ended.is_set()

    async def drained_hosts(self) -> tuple[str, ...]:
        """Names of the hosts of its workers that are about to be taken away."""
        return drained_hosts_of(self._fit) if self._fit else ()

    async def processes(self) -> dict[int, int]:
        """Process ids of the workers by rank."""
        return {rank: hello.process_id for rank, hello in self._fit.hellos.items()} if self._fit else {}

    # ------------------------------------------------------------------ called by the workers

    async def hello(self, generation: int, hello: Hello) -> None:
        """A worker is ready."""
        if self._fit is not None and self._fit.generation == generation:
            self._fit.hellos[hello.rank] = hello
            self._changes.notify()

    async def next_assignment(self, generation: int, rank: int, after: int) -> Assignment | NoMoreTrials | NothingYet:
        """The next assignment with a number above ``after``."""
        deadline_s = time.monotonic() + POLL_S
        while time.monotonic() < deadline_s:
            fit, attempt = self._fit, self._attempt
            if fit is None or fit.generation != generation or fit.leaving_since_s is not None:
                return NoMoreTrials()
            if attempt is not None and attempt.assignment.number > after and rank not in attempt.ends:
                return attempt.assignment
            await self._changes.wait(deadline_s - time.monotonic())
        return NothingYet()

    async def new_measurements(
        self, generation: int, number: int, report: int, rows: tuple[MeasurementRow, ...]
    ) -> None:
        """New measurements, passed on to the pool in the order of their report numbers 1, 2, ..."""
        attempt = self._current(generation, number)
        if attempt is None:
            return
        attempt.reports[report] = rows
        if attempt.is_forwarding:
            return
        attempt.is_forwarding = True  # calls of an asyncio actor overtake each other, so one of them forwards for all
        try:
            while (rows_in_turn := attempt.reports.pop(attempt.num_reports + 1, None)) is not None:
                # Waited for, so that the pool has all rows before it hears that the attempt has ended.
                await self._pool.new_measurements.remote(attempt.assignment.name, rows_in_turn)
                attempt.num_reports += 1
        except Exception as error:  # noqa: BLE001 - rows are lost, which the attempt ends with
            attempt.lost_rows = f"measurements could not be handed on: {type(error).__name__}: {error}"
        finally:
            attempt.is_forwarding = False
            self._changes.notify()

    async def heartbeat(self, generation: int, number: int, rank: int, num_batches: int) -> Wish:
        """A worker is alive and has begun so many batches."""
        attempt = self._current(generation, number)
        if attempt is None or self._fit is None or self._fit.exiting:
            return Wish.EXIT
        attempt.heard_at_s[rank] = time.monotonic()
        if attempt.num_batches.get(rank) != num_batches:
            attempt.num_batches[rank] = num_batches
            attempt.moved_at_s = time.monotonic()
        return Wish.STOP if self._is_to_stop(attempt) or attempt.drained else Wish.GO_ON

    async def ended(self, generation: int, number: int, end: WorkerEnd) -> None:
        """A worker's part of the attempt is over."""
        if (attempt := self._current(generation, number)) is not None:
            attempt.ends[end.rank] = end
            if attempt.first_end_at_s is None:
                attempt.first_end_at_s = time.monotonic()
            self._changes.notify()

    # ------------------------------------------------------------------ inside

    def _run_fit(self, fit: Fit) -> None:
        config = WorkerConfig(self._me, self._pool, fit.generation, self._resources)
        run_fit(fit, self._name, config, scratch=self._scratch.name)

    def _is_ready(self) -> bool:
        fit = self._fit
        if fit is None or fit.ended.is_set() or fit.leaving_since_s is not None:
            return False
        return len(fit.hellos) == self._resources.num_workers

    def _current(self, generation: int, number: int) -> RunningAttempt | None:
        if self._fit is None or self._fit.generation != generation:
            return None
        if self._attempt is None or self._attempt.assignment.number != number:
            return None
        return self._attempt

    def _is_to_stop(self, attempt: RunningAttempt) -> bool:
        return self._to_stop == attempt.assignment.name

    def _all_ended(self, attempt: RunningAttempt) -> bool:
        if len(attempt.ends) < self._resources.num_workers:
            return False
        # Rows and the end travel as separate messages; wait for the last of them.
        return attempt.num_reports >= attempt.ends[0].num_reports

    def _stuck(self, attempt: RunningAttempt) -> str | None:
        now_s = time.monotonic()
        if attempt.lost_rows is not None:
            return attempt.lost_rows
        if attempt.first_end_at_s is not None and now_s - attempt.first_end_at_s > LAGGARD_S:
            return f"one worker ended and the others did not within {LAGGARD_S:g} s"
        if now_s - attempt.moved_at_s > self._resources.progress_timeout_s:
            return f"no worker began a batch for {self._resources.progress_timeout_s:.0f} s"
        return None

    async def _cut_off(self, fit: Fit, attempt: RunningAttempt) -> str | None:
        """Whether a silent worker's node is gone; a worker that is only slow or stuck is no business of this."""
        now_s = time.monotonic()
        silent = {
            rank: hello
            for rank, hello in fit.hellos.items()
            if rank not in attempt.ends and now_s - attempt.heard_at_s.get(rank, attempt.started_at_s) > SILENT_S
        }
        if not silent:
            return None
        lost = await lost_nodes({hello.node_id for hello in silent.values()})
        attempt.unreachable = tuple(sorted({hello.host_name for hello in silent.values() if hello.node_id in lost}))
        return f"{', '.join(attempt.unreachable)} cannot be reached" if attempt.unreachable else None

    def _look_for_drains(self, fit: Fit, attempt: RunningAttempt) -> None:
        """Have the trial end at its next reporting interval when a node of its workers is to go."""
        now_s = time.monotonic()
        if not attempt.drained and now_s - self._drains_at_s >= DRAIN_CHECK_S:
            self._drains_at_s = now_s
            attempt.drained = drained_hosts_of(fit)

    async def _abort(self, fit: Fit, attempt: RunningAttempt, reason: str) -> AttemptEnd:
        """End workers that may be stuck: each exits at its next heartbeat or is killed, upon which `fit()` ends."""
        fit.exiting = True
        lost = await lost_nodes(fit.node_ids)
        deadline_s = time.monotonic() + EXIT_S
        while not fit.ended.is_set() and time.monotonic() < deadline_s:
            await self._changes.wait(CHECK_S)
        if not fit.ended.is_set():
            kill(hello for hello in fit.hellos.values() if hello.node_id not in lost)
        await self.leave()
        return verdict.aborted(
            attempt,
            verdict.machine_of(fit, self._resources),
            reason,
            stop_wanted=self._is_to_stop(attempt),
            is_node_lost=bool(lost),
        )
