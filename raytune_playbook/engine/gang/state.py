"""The states of a gang, and which may follow each."""

from __future__ import annotations

from enum import StrEnum


class GangState(StrEnum):
    """How a gang stands; ``lost`` and ``retired`` are told, and then it is gone.

    ```
    starting ──> ready <──> busy          each of these four may also become lost or retiring
                 │  ^        │
                 v  │        │
              restarting <───┘            lost ──> retiring ──> retired
    ```
    """

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    RESTARTING = "restarting"
    LOST = "lost"
    RETIRING = "retiring"
    RETIRED = "retired"

    @property
    def has_workers(self) -> bool:
        """Its workers are there, and wait for a trial or train one."""
        return self in (GangState.READY, GangState.BUSY)

    @property
    def is_starting(self) -> bool:
        """Its workers are on their way, or wait for room."""
        return self in (GangState.STARTING, GangState.RESTARTING)

    def then(self, following: GangState) -> GangState:
        """The state that follows.

        Raises:
            ValueError: it cannot follow this one.
        """
        if following not in _MAY_FOLLOW[self]:
            raise ValueError(f"a gang that is {self} cannot become {following}")
        return following


_ENDS = frozenset({GangState.LOST, GangState.RETIRING})
_MAY_FOLLOW = {
    GangState.STARTING: _ENDS | {GangState.READY},
    GangState.READY: _ENDS | {GangState.BUSY, GangState.RESTARTING},
    GangState.BUSY: _ENDS | {GangState.READY, GangState.RESTARTING},
    GangState.RESTARTING: _ENDS | {GangState.READY},
    GangState.LOST: {GangState.RETIRING},
    GangState.RETIRING: {GangState.RETIRED},
    GangState.RETIRED: frozenset[GangState](),
}
