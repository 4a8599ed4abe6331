"""The types of handles to the actors that a gang knows: its host, and the pool that it belongs to."""

from __future__ import annotations

from typing import Protocol

from raytune_playbook.engine.cluster.calls import RemoteMethod
from raytune_playbook.engine.gang.messages import (
    Assignment,
    AttemptEnd,
    AttemptName,
    Hello,
    NoMoreTrials,
    NothingYet,
    Started,
    Wish,
    WorkerEnd,
)
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.records.columns import MeasurementRow


class HostHandle(Protocol):
    """A handle to a `Host`; what each method does is said there."""

    start: RemoteMethod[[float], Started]
    run: RemoteMethod[[Assignment], AttemptEnd]
    stop_trial: RemoteMethod[[AttemptName], None]
    leave: RemoteMethod[[], bool]
    drained_hosts: RemoteMethod[[], tuple[str, ...]]
    processes: RemoteMethod[[], dict[int, int]]
    hello: RemoteMethod[[int, Hello], None]
    next_assignment: RemoteMethod[[int, int, int], Assignment | NoMoreTrials | NothingYet]
    new_measurements: RemoteMethod[[int, int, int, tuple[MeasurementRow, ...]], None]
    heartbeat: RemoteMethod[[int, int, int, int], Wish]
    ended: RemoteMethod[[int, int, WorkerEnd], None]


class PoolOfGang(Protocol):
    """A handle to the pool as far as its gangs know it; what each method does is said in `Pool`."""

    round_context: RemoteMethod[[str], RoundContext | None]
    new_measurements: RemoteMethod[[AttemptName, tuple[MeasurementRow, ...]], None]
