"""What the pool and the lives of its gangs share; one event loop alone touches it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from raytune_playbook.engine.changes import Changes
from raytune_playbook.engine.gang_state import PooledGang
from raytune_playbook.engine.messages import Event
from raytune_playbook.engine.trial_queue import TrialQueue
from raytune_playbook.study.spec import Resources


class Events:
    """What the driver is to hear, numbered from 1; kept until the driver has acknowledged it."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._pending: deque[tuple[int, Event]] = deque()
        self._num = 0
        self._acknowledged = 0

    def emit(self, event: Event) -> int:
        """Add an event; returns its number."""
        self._num += 1
        self._pending.append((self._num, event))
        self._changes.notify()
        return self._num

    def acknowledge(self, number: int) -> None:
        """The driver has recorded all events up to this one."""
        self._acknowledged = max(self._acknowledged, number)
        while self._pending and self._pending[0][0] <= number:
            self._pending.popleft()
        self._changes.notify()

    def is_acknowledged(self, number: int) -> bool:
        return self._acknowledged >= number

    @property
    def pending(self) -> tuple[tuple[int, Event], ...]:
        return tuple(self._pending)


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
