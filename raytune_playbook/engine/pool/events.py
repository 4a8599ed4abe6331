"""What the pool tells the driver, and what of it the driver has yet to hear."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from raytune_playbook.engine.gang.changes import Changes
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.records.columns import MeasurementRow


@dataclass(frozen=True)
class AttemptStarted:
    """Event: an attempt is about to start; it does when the driver has recorded it."""

    name: AttemptName
    gang: str


@dataclass(frozen=True)
class NewMeasurements:
    """Event: rows of a running attempt."""

    name: AttemptName
    rows: tuple[MeasurementRow, ...]


@dataclass(frozen=True)
class AttemptEnded:
    """Event: an attempt ended; ``is_final`` when no other follows."""

    name: AttemptName
    ended: AttemptEnd
    is_final: bool


@dataclass(frozen=True)
class GangChanged:
    """Event: a gang is in another state; ``sentence`` says so in the log.

    Fields:
        is_restart: its workers went before their time, for a reason that nobody asked for.
    """

    sentence: str
    is_restart: bool = False


Event: TypeAlias = AttemptStarted | NewMeasurements | AttemptEnded | GangChanged


@dataclass(frozen=True)
class News:
    """What the pool tells the driver of a round.

    Fields:
        events: numbered, in order.
        gangs: the state of each gang that there is, by its name.
        failure: a sentence when no gang can be had any more.
    """

    events: tuple[tuple[int, Event], ...]
    gangs: Mapping[str, GangState]
    failure: str | None


class Events:
    """What the driver of one round is to hear, numbered from 1; kept until it has acknowledged it."""

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
