"""A gang's host: an actor that owns one `TorchTrainer.fit()` and feeds its workers trial after trial.

A Train worker group takes many seconds to start. Owned by this actor, and not by a Tune trial, it outlives every
`Tuner.fit` (DESIGN decision 1). When `fit()` ends for whatever reason the host starts it again under a new name.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from dataclasses import dataclass, field

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.capacity import bundle
from raytune_playbook.engine.messages import Assignment, AttemptEnd, Handle, Hello, Row, WorkerEnd
from raytune_playbook.records.types import Machine
from raytune_playbook.study.spec import Resources

POLL_S = 20.0
"""How long a worker's question for an assignment waits before it is answered with "wait"."""

LAGGARD_S = 10.0
"""After one worker of an attempt has ended, the others have this long to end too; then the gang is restarted."""

RETURN_S = 30.0
"""How long workers that were asked to return may take."""

CHECK_S = 0.5

TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a dead worker is noticed this soon
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # trials print to log files of their own
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "TENSORBOARDX_DISABLED": "1",
}


def start_host(name: str, resources: Resources, pool: Handle, node_id: str) -> Handle:
    """A new host on the given node; it dies with the pool, which owns it."""
    actor = ray.remote(num_cpus=0, max_restarts=0)(Host).options(
        runtime_env={"env_vars": TRAIN_ENVIRONMENT},
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
    )
    return actor.remote(name, resources, pool)


class GangLost(Exception):  # noqa: N818 - a state of the gang that its pool handles, not a bug
    """`fit()` ended, or could not start."""


@dataclass
class _Attempt:
    """The attempt that the workers are at, seen from the host."""

    assignment: Assignment
    ends: dict[int, WorkerEnd] = field(default_factory=dict)
    reports: dict[int, tuple[Row, ...]] = field(default_factory=dict)
    num_reports: int = 0
    is_forwarding: bool = False
    num_batches: dict[int, int] = field(default_factory=dict)
    moved_at_s: float = field(default_factory=time.monotonic)
    first_end_at_s: float | None = None


@dataclass
class _Fit:
    """One `TorchTrainer.fit()` in a thread of its own, and what its workers have said."""

    generation: int
    started_at_s: float = field(default_factory=time.monotonic)
    hellos: dict[int, Hello] = field(default_factory=dict)
    error: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    leaving: bool = False
    exiting: bool = False


class Host:
    """Runs in an asyncio loop; every method returns within `POLL_S` but `run`, which its pool watches over."""

    def __init__(self, name: str, resources: Resources, pool: Handle) -> None:
        self._name, self._resources, self._pool = name, resources, pool
        self._me = ray.get_runtime_context().current_actor
        self._scratch = tempfile.TemporaryDirectory(prefix="raytune-playbook-")
        self._fit: _Fit | None = None
        self._num_starts = 0
        self._number = 0
        self._attempt: _Attempt | None = None
        self._changed = asyncio.Event()
        self._stop_wanted = False

    # ------------------------------------------------------------------ called by the pool

    async def start(self, timeout_s: float) -> tuple[int, float]:
        """Have all workers ready.

        Returns:
            How many times this host has started workers, and the seconds that this start took (0 when they were ready).

        Raises:
            GangLost: they did not start within ``timeout_s``, or `fit()` ended.
        """
        if self._is_ready():
            return self._num_starts, 0.0
        if not await self.leave():
            raise GangLost(f"the last workers of {self._name} do not return")
        fit = self._fit = _Fit(generation=self._num_starts + 1)
        self._num_starts += 1
        threading.Thread(target=self._run_fit, args=(fit,), name=f"fit-{fit.generation}", daemon=True).start()
        while len(fit.hellos) < self._resources.num_workers:
            if fit.ended.is_set():
                raise GangLost(f"the workers of {self._name} ended while they started: {fit.error}")
            if time.monotonic() - fit.started_at_s > timeout_s:
                raise GangLost(f"the workers of {self._name} did not start within {timeout_s:.0f} s")
            await self._wait(CHECK_S)
        return self._num_starts, time.monotonic() - fit.started_at_s

    async def run(self, assignment: Assignment) -> AttemptEnd:
        """Run one attempt to its end, whatever that is; the workers must have been started."""
        fit = self._fit
        if fit is None or fit.ended.is_set():
            return AttemptEnd(cause="worker died", error=fit.error if fit else "not started", restarts_gang=True)
        self._number += 1
        self._stop_wanted = False
        attempt = self._attempt = _Attempt(Assignment(**{**vars(assignment), "number": self._number}))
        self._notify()
        try:
            while not self._all_ended(attempt):
                if fit.ended.is_set():
                    return await self._lost(fit, attempt)
                if reason := self._stuck(attempt):
                    return await self._abort(fit, attempt, reason)
                await self._wait(CHECK_S)
            return self._attempt_end(fit, attempt)
        finally:
            self._attempt = None

    async def stop_trial(self) -> None:
        """Ask the workers to end the running trial at its next reporting interval."""
        self._stop_wanted = True

    async def leave(self) -> bool:
        """Let the workers return, so that `fit()` ends and its resources are given back.

        Returns:
            Whether it has ended; if not, only killing this host, which owns everything, gives them back.
        """
        fit = self._fit
        if fit is None:
            return True
        fit.leaving = True
        self._notify()
        # Workers that were never there, for want of room, will not return either.
        deadline_s = time.monotonic() + (RETURN_S if fit.hellos else 0)
        while not fit.ended.is_set() and time.monotonic() < deadline_s:
            await self._wait(CHECK_S)
        if fit.ended.is_set():
            self._fit = None
        return fit.ended.is_set()

    async def processes(self) -> dict[int, int]:
        """Process ids of the workers by rank."""
        return {rank: hello.process_id for rank, hello in self._fit.hellos.items()} if self._fit else {}

    # ------------------------------------------------------------------ called by the workers

    async def hello(self, generation: int, hello: Hello) -> None:
        """A worker is ready."""
        if self._fit is not None and self._fit.generation == generation:
            self._fit.hellos[hello.rank] = hello
            self._notify()

    async def next_assignment(self, generation: int, rank: int, after: int) -> Assignment | str | None:
        """The next assignment, None when the worker is to return, or "wait" after a while without either."""
        deadline_s = time.monotonic() + POLL_S
        while time.monotonic() < deadline_s:
            fit, attempt = self._fit, self._attempt
            if fit is None or fit.generation != generation or fit.leaving:
                return None
            if attempt is not None and attempt.assignment.number > after and rank not in attempt.ends:
                return attempt.assignment
            await self._wait(deadline_s - time.monotonic())
        return "wait"

    async def measured(self, generation: int, number: int, report: int, rows: tuple[Row, ...]) -> None:
        """New measurements, passed on to the pool in the order of their report numbers 1, 2, ..."""
        attempt = self._current(generation, number)
        if attempt is None:
            return
        attempt.reports[report] = rows
        if attempt.is_forwarding:
            return
        attempt.is_forwarding = True  # calls of an asyncio actor overtake each other, so one of them forwards for all
        trial = attempt.assignment.trial
        while (rows_in_turn := attempt.reports.pop(attempt.num_reports + 1, None)) is not None:
            # Waited for, so that the pool has all rows before it hears that the attempt has ended.
            await self._pool.measured.remote((trial.study, trial.key), attempt.assignment.attempt, rows_in_turn)
            attempt.num_reports += 1
        attempt.is_forwarding = False
        self._notify()

    async def heartbeat(self, generation: int, number: int, rank: int, num_batches: int) -> str:
        """A worker is alive and has begun so many batches; the answer is "go on", "stop" or "exit"."""
        attempt = self._current(generation, number)
        if attempt is None or self._fit is None or self._fit.exiting:
            return "exit"
        if attempt.num_batches.get(rank) != num_batches:
            attempt.num_batches[rank] = num_batches
            attempt.moved_at_s = time.monotonic()
        return "stop" if self._stop_wanted else "go on"

    async def ended(self, generation: int, number: int, end: WorkerEnd) -> None:
        """A worker's part of the attempt is over."""
        if (attempt := self._current(generation, number)) is not None:
            attempt.ends[end.rank] = end
            if attempt.first_end_at_s is None:
                attempt.first_end_at_s = time.monotonic()
            self._notify()

    # ------------------------------------------------------------------ inside

    def _run_fit(self, fit: _Fit) -> None:
        # Imported here, since every process that holds a handle to the pool imports this module, and needs no torch.
        from ray.train import FailureConfig, RunConfig
        from ray.train.torch import TorchConfig, TorchTrainer
        from ray.train.v2.api.config import ScalingConfig

        from raytune_playbook.engine.worker import WorkerConfig, run_worker

        resources = self._resources
        config = WorkerConfig(host=self._me, pool=self._pool, generation=fit.generation, resources=resources)
        try:
            trainer = TorchTrainer(
                run_worker,
                train_loop_config=dict(vars(config)),
                torch_config=TorchConfig(timeout_s=max(1, round(resources.collective_timeout_s))),
                scaling_config=ScalingConfig(
                    num_workers=resources.num_workers,
                    use_gpu=resources.gpus_per_worker > 0,
                    resources_per_worker=bundle(resources),
                    placement_strategy="PACK" if resources.placement == "packed" else "SPREAD",
                    label_selector=resources.node_labels or None,
                ),
                run_config=RunConfig(
                    name=f"{self._name}-{fit.generation}",
                    storage_path=self._scratch.name,
                    failure_config=FailureConfig(max_failures=0),
                ),
            )
            trainer.fit()
        except Exception as error:  # noqa: BLE001 - Train, its controller or a worker; all mean that the gang is gone
            fit.error = str(error).strip() or type(error).__name__
        fit.ended.set()

    def _is_ready(self) -> bool:
        fit = self._fit
        if fit is None or fit.ended.is_set() or fit.leaving:
            return False
        return len(fit.hellos) == self._resources.num_workers

    def _current(self, generation: int, number: int) -> _Attempt | None:
        if self._fit is None or self._fit.generation != generation:
            return None
        if self._attempt is None or self._attempt.assignment.number != number:
            return None
        return self._attempt

    def _all_ended(self, attempt: _Attempt) -> bool:
        if len(attempt.ends) < self._resources.num_workers:
            return False
        # Rows and the end travel as separate messages; wait for the last of them.
        return attempt.num_reports >= attempt.ends[0].num_reports

    def _stuck(self, attempt: _Attempt) -> str | None:
        now_s = time.monotonic()
        if attempt.first_end_at_s is not None and now_s - attempt.first_end_at_s > LAGGARD_S:
            return f"one worker ended and the others did not within {LAGGARD_S:g} s"
        if now_s - attempt.moved_at_s > self._resources.progress_timeout_s:
            return f"no worker began a batch for {self._resources.progress_timeout_s:.0f} s"
        return None

    async def _abort(self, fit: _Fit, attempt: _Attempt, reason: str) -> AttemptEnd:
        """End workers that may be stuck: each exits at its next heartbeat, upon which `fit()` ends."""
        fit.exiting = True
        ended = self._attempt_end(fit, attempt) if attempt.ends else AttemptEnd(cause="worker died", error=reason)
        await self.leave()
        text = f"{ended.traceback or ''}\n{reason}; the gang was restarted\n".lstrip()
        cause = "worker died" if ended.cause == "stopped" else ended.cause
        return AttemptEnd(**{**vars(ended), "cause": cause, "traceback": text, "restarts_gang": True})

    async def _lost(self, fit: _Fit, attempt: _Attempt) -> AttemptEnd:
        """`fit()` ended under the attempt: a node is gone, or a worker or the controller died."""
        raised = [end.traceback for end in attempt.ends.values() if end.traceback]
        node_ids = {hello.node_id for hello in fit.hellos.values()}
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        cause = "worker died" if node_ids <= alive else "node lost"
        text = "\n".join([*raised, fit.error or "the workers returned in the middle of a trial"])
        return AttemptEnd(
            cause=cause,  # type: ignore[arg-type] # mypy widens a conditional's literals
            traceback=text,
            error=(fit.error or text).strip().splitlines()[0],
            machine=self._machine(fit),
            restarts_gang=True,
        )

    def _attempt_end(self, fit: _Fit, attempt: _Attempt) -> AttemptEnd:
        machine = self._machine(fit)
        ends = [attempt.ends[rank] for rank in sorted(attempt.ends)]
        warning = next((end.leak for end in ends if end.leak), None)
        restarts = self._resources.fresh_workers or warning is not None
        raised = [end for end in ends if end.traceback is not None]
        if raised:
            text = "\n".join(f"rank {end.rank}:\n{end.traceback}" for end in raised)
            first = raised[0]
            return AttemptEnd("exception", None, text, first.error, first.is_input_error, machine, restarts, warning)
        end = ends[0].end
        if end is None:
            raise RuntimeError("a worker ended without an outcome and without an error")
        return AttemptEnd(
            end.outcome if end.outcome in ("completed", "infeasible") else "stopped",
            end,
            machine=machine,
            restarts_gang=restarts,
            warning=warning,
        )

    def _machine(self, fit: _Fit) -> Machine:
        hellos = [fit.hellos[rank] for rank in sorted(fit.hellos)]
        return Machine(
            torch=hellos[0].torch if hellos else "",
            cpu_capability=hellos[0].cpu_capability if hellos else "",
            device=hellos[0].device if hellos else "",
            num_workers=self._resources.num_workers,
            threads_per_worker=self._resources.threads_per_worker,
            hosts=tuple(hello.host_name for hello in hellos),
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self, timeout_s: float) -> None:
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), max(0.0, timeout_s))
        except TimeoutError:
            return
