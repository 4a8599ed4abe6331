"""What the pool and the lives of its gangs share; one event loop alone touches it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from raytune_playbook.engine.gang.changes import Changes
from raytune_playbook.engine.gang.handles import HostHandle
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.pool.queue import QueuedTrial, TrialQueue
from raytune_playbook.study.settings import Resources


@dataclass(eq=False)
class PooledGang:
    """A gang as the pool sees it.

    Fields:
        starts_in_room: its workers are starting, and there was room for them.
        is_to_retire: it takes no more trials.
        trial: what its workers are at.
    """

    name: str
    host: HostHandle
    state: GangState = GangState.STARTING
    num_starts: int = 0
    idle_since_s: float = field(default_factory=time.monotonic)
    starts_in_room: bool = False
    is_to_retire: bool = False
    trial: QueuedTrial | None = None

    def become(self, state: GangState) -> None:
        """Enter another state, which must be one that may follow."""
        self.state = self.state.then(state)


@dataclass(frozen=True)
class GangFacts:
    """What a session says of one of its gangs."""

    name: str
    state: GangState
    num_starts: int
    worker_process_ids: dict[int, int]


@dataclass
class PoolState:
    """Fields:
    resources: of each gang.
    scratch: a folder for the logs of what is not recorded.
    failure: a sentence when no gang can be had any more.
    num_failed_starts: consecutive ones, of whichever gangs.
    """

    resources: Resources
    scratch: str
    changes: Changes = field(default_factory=Changes)
    queue: TrialQueue = field(init=False)
    gangs: list[PooledGang] = field(default_factory=list)
    failure: str | None = None
    num_failed_starts: int = 0

    def __post_init__(self) -> None:
        self.queue = TrialQueue(self.changes)
