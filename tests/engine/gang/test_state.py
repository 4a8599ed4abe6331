"""Which states of a gang may follow each."""

from __future__ import annotations

from itertools import pairwise

import pytest

from raytune_playbook.engine.gang.state import GangState

STARTING, READY, BUSY, RESTARTING, LOST, RETIRING, RETIRED = GangState

LIVES = [
    [STARTING, READY, BUSY, READY, RETIRING, RETIRED],
    [STARTING, LOST, RETIRING, RETIRED],  # no room, or no start
    [STARTING, RETIRING, RETIRED],  # the session ended first
    [STARTING, READY, BUSY, RESTARTING, READY, RESTARTING, READY, LOST, RETIRING, RETIRED],
    [STARTING, READY, BUSY, LOST, RETIRING, RETIRED],  # its host died under a trial
    [STARTING, READY, BUSY, RETIRING, RETIRED],  # a bug of ours
    [STARTING, READY, RESTARTING, LOST, RETIRING, RETIRED],
    [STARTING, READY, RESTARTING, RETIRING, RETIRED],  # too few nodes are left
]


def test_what_happens_to_gangs_may_happen_and_nothing_else():
    seen = {(state, following) for life in LIVES for state, following in pairwise(life)}
    for state in GangState:
        for following in GangState:
            if (state, following) in seen:
                assert state.then(following) is following
            else:
                with pytest.raises(ValueError, match=f"a gang that is {state} cannot become {following}"):
                    state.then(following)


def test_workers_are_there_or_on_their_way_or_neither():
    assert [state for state in GangState if state.has_workers] == [READY, BUSY]
    assert [state for state in GangState if state.is_starting] == [STARTING, RESTARTING]
