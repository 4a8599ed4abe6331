"""A gang's state: as its host sees it (workers, and the attempt that they are at), as its pool does, as others may."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.messages import Assignment, Handle, Hello, Row, WorkerEnd
from raytune_playbook.engine.node_health import draining_nodes
from raytune_playbook.engine.trial_queue import QueuedTrial


@dataclass
class RunningAttempt:
    """The attempt that the workers are at, seen from the host."""

    assignment: Assignment
    ends: dict[int, WorkerEnd] = field(default_factory=dict)
    reports: dict[int, tuple[Row, ...]] = field(default_factory=dict)
    num_reports: int = 0
    is_forwarding: bool = False
    num_batches: dict[int, int] = field(default_factory=dict)
    started_at_s: float = field(default_factory=time.monotonic)
    heard_at_s: dict[int, float] = field(default_factory=dict)
    moved_at_s: float = field(default_factory=time.monotonic)
    first_end_at_s: float | None = None
    drained: tuple[str, ...] = ()


@dataclass
class Fit:
    """One `TorchTrainer.fit()` in a thread of its own, and what its workers have said."""

    generation: int
    started_at_s: float = field(default_factory=time.monotonic)
    hellos: dict[int, Hello] = field(default_factory=dict)
    error: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    leaving_since_s: float | None = None
    exiting: bool = False

    @property
    def node_ids(self) -> set[str]:
        return {hello.node_id for hello in self.hellos.values()}


@dataclass(eq=False)
class PooledGang:
    """A gang as the pool sees it."""

    name: str
    host: Handle
    state: str = "starting"
    num_starts: int = 0
    idle_since_s: float = field(default_factory=time.monotonic)
    starts_in_room: bool = False
    retiring: bool = False
    trial: QueuedTrial | None = None


@dataclass(frozen=True)
class GangFacts:
    """What tests and the terminal may know of a gang."""

    name: str
    state: str
    num_starts: int
    worker_process_ids: dict[int, int]


def drained_hosts_of(fit: Fit) -> tuple[str, ...]:
    """Names of the workers' hosts that are about to be taken away."""
    draining = draining_nodes()
    return tuple(sorted({hello.host_name for hello in fit.hellos.values() if hello.node_id in draining}))


def kill(hellos: Iterable[Hello]) -> None:
    """SIGKILL workers, each from its own node, for a process that is stopped obeys nothing else."""
    for hello in hellos:
        there = NodeAffinitySchedulingStrategy(hello.node_id, soft=False)
        ray.remote(num_cpus=0, max_retries=0)(_kill_process).options(scheduling_strategy=there).remote(hello.process_id)


def _kill_process(process_id: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)
