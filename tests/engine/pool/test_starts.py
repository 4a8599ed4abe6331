"""How many gangs start, by hand-counted examples; without a cluster."""

from __future__ import annotations

from itertools import product

import pytest

from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.pool.starts import GangCounts, may_start_again, num_to_start, num_wanted
from raytune_playbook.engine.pool.state import PooledGang

NONE = GangCounts(0, 0, 0, 0)


def ready(num: int) -> GangCounts:
    return GangCounts(num, num, num_starting=0, num_retiring=0)


def test_gangs_are_counted_by_what_they_do_next():
    gangs = [PooledGang(state.value, None, state) for state in GangState]
    gangs += [PooledGang("leaves", None, GangState.BUSY, is_to_retire=True)]
    gangs += [PooledGang("leaves", None, GangState.STARTING, is_to_retire=True)]
    assert GangCounts.of(gangs) == GangCounts(num=9, num_staying=7, num_starting=2, num_retiring=1)
    assert GangCounts.of([]) == NONE


@pytest.mark.parametrize(
    ("gangs", "num_trials_left", "num_fitting", "num_fitting_now", "expected"),
    [
        (NONE, 0, 5, 5, 0),  # no work
        (NONE, 3, 5, 5, 3),  # one for each trial
        (NONE, 9, 5, 5, 5),  # as many as fit
        (NONE, 9, 0, 0, 1),  # the first one waits for room
        (NONE, 9, 3, 0, 3),  # and what the autoscaler may add is asked for
        (ready(1), 9, 3, 0, 0),  # others start only where there is room now
        (ready(1), 9, 3, 2, 2),
        (ready(1), 9, 3, 1, 1),
        (ready(1), 9, 1, 7, 0),  # never more than the cluster holds
        (ready(2), 2, 5, 3, 0),  # each trial has one
        (ready(2), 1, 5, 3, 0),
        (GangCounts(2, 2, num_starting=1, num_retiring=0), 9, 5, 2, 1),  # one has yet to take its room
        (GangCounts(2, 2, num_starting=2, num_retiring=0), 9, 5, 1, 0),
        (GangCounts(2, 1, num_starting=0, num_retiring=1), 9, 5, 3, 0),  # one makes room first
        (GangCounts(2, 1, num_starting=0, num_retiring=0), 9, 5, 3, 3),  # one will leave, and has its room still
        (GangCounts(2, 1, num_starting=0, num_retiring=0), 9, 3, 3, 1),
        (GangCounts(1, 0, num_starting=0, num_retiring=0), 2, 1, 0, 1),  # all leave
    ],
)
def test_as_many_gangs_start_as_have_work_and_room(gangs, num_trials_left, num_fitting, num_fitting_now, expected):
    facts = {"num_trials_left": num_trials_left, "num_fitting": num_fitting, "num_fitting_now": num_fitting_now}
    assert num_to_start(gangs, **facts) == expected


def test_there_is_never_a_gang_more_than_trials_nor_but_the_first_more_than_fit():
    for num, starting, left, fitting, now in product(range(4), range(4), range(4), range(4), range(4)):
        gangs = GangCounts(num, num, min(starting, num), 0)
        started = num_to_start(gangs, num_trials_left=left, num_fitting=fitting, num_fitting_now=now)
        assert 0 <= started <= num_wanted(gangs, left)
        assert started == 0 or num + started <= max(1, left)
        assert started == 0 or num + started <= max(1, fitting)
        if num:
            assert started == 0 or started + gangs.num_starting <= now


@pytest.mark.parametrize(
    ("num_others", "num_fitting", "expected"),
    [(0, 0, True), (0, 1, True), (1, 1, False), (1, 2, True), (2, 2, False), (2, 3, True)],
)
def test_a_gang_starts_again_where_as_many_fit_as_there_are_and_alone_waits(num_others, num_fitting, expected):
    assert may_start_again(num_others=num_others, num_fitting=num_fitting) == expected
