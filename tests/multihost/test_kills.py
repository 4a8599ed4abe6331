"""Rounds that are killed at random, and end with the results of one that nothing disturbed (rules CK2, MH1)."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.soak.faults import KINDS, SHORT, drawn
from tests.soak.kills import Plan, disturb


def test_kills_follow_from_their_seed_and_are_of_all_kinds():
    kills = drawn(7, 200, 4800)
    assert kills == drawn(7, 200, 4800) != drawn(8, 200, 4800)
    assert Counter(kill.kind for kill in kills).keys() == KINDS.keys()
    assert [kill.number for kill in kills] == [*range(1, 201)]
    moments = [kill.at_steps for kill in kills]
    assert moments == sorted(moments) and moments[0] >= 0 and moments[-1] < 4800
    assert sorted(kill.kind for kill in drawn(7, len(SHORT), 480, kinds=SHORT)) == sorted(SHORT)


@pytest.mark.timeout(900)
def test_ck2_a_round_that_each_main_kind_of_kill_hits_once_has_the_results_of_an_undisturbed_one(all_hosts, tmp_path):
    all_hosts.mend()
    plan = Plan(seed=3, num_kills=len(SHORT), num_trials=2, kinds=SHORT, sudden=0.0, step_sleep_s=0.05)
    assert disturb(all_hosts, tmp_path, plan) == 0


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_ck2_200_kills_leave_the_results_of_an_undisturbed_round(all_hosts, tmp_path):
    all_hosts.mend()
    assert disturb(all_hosts, tmp_path, Plan(seed=0, num_kills=200)) == 0
