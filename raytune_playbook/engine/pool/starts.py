"""How many gangs start, and when the pool has waited for one in vain; pure functions.

The pool gathers the facts (`GangCounts`, and what `cluster.capacity` says of the cluster) and does what these say.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.pool.state import PooledGang


@dataclass(frozen=True)
class GangCounts:
    """The gangs that there are.

    Fields:
        num_staying: those that are not to be retired.
        num_starting: those of them whose workers are on their way.
        num_retiring: those that are giving their resources back now.
    """

    num: int
    num_staying: int
    num_starting: int
    num_retiring: int

    @classmethod
    def of(cls, gangs: Collection[PooledGang]) -> Self:
        staying = [gang for gang in gangs if not gang.is_to_retire]
        return cls(
            num=len(gangs),
            num_staying=len(staying),
            num_starting=sum(gang.state.is_starting for gang in staying),
            num_retiring=sum(gang.state is GangState.RETIRING for gang in gangs),
        )


def num_wanted(gangs: GangCounts, num_trials_left: int) -> int:
    """How many more gangs there is work for: one for each trial that is left, and none while some make room."""
    return 0 if gangs.num_retiring else max(0, num_trials_left - gangs.num_staying)


def num_to_start(gangs: GangCounts, *, num_trials_left: int, num_fitting: int, num_fitting_now: int) -> int:
    """How many gangs start now.

    The first gang starts in any case: it may wait for nodes to come. Others start only where there is room now.

    Args:
        num_trials_left: trials that have not ended.
        num_fitting: how many gangs the whole cluster holds, or may grow to.
        num_fitting_now: how many gangs what is free now holds, in which those that are starting have yet to take room.
    """
    room = num_fitting - gangs.num
    if gangs.num_staying == 0:
        return min(num_wanted(gangs, num_trials_left), max(1, room))
    return min(num_wanted(gangs, num_trials_left), max(0, min(room, num_fitting_now - gangs.num_starting)))


def may_start_again(*, num_others: int, num_fitting: int) -> bool:
    """Whether a gang whose workers have gone starts new ones, and is not retired: where that many gangs fit.

    Alone it waits for room, as the round's first gang did.

    Args:
        num_others: gangs beside it that are not to be retired.
        num_fitting: how many gangs the whole cluster holds, or may grow to.
    """
    return num_others == 0 or num_fitting > num_others
