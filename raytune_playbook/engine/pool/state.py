"""What the pool and the lives of its gangs share; one event loop alone touches it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from raytune_playbook.engine.gang.changes import Changes
from raytune_playbook.engine.gang.messages import Handle
from raytune_playbook.engine.pool.events import Events
from raytune_playbook.engine.pool.queue import QueuedTrial, TrialQueue
from raytune_playbook.study.settings import Resources


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
    queue: TrialQueue = field(default_factory=TrialQueue)
    gangs: list[PooledGang] = field(default_factory=list)
    failure: str | None = None
    num_failed_starts: int = 0
    events: Events = field(init=False)

    def __post_init__(self) -> None:
        self.events = Events(self.changes)
