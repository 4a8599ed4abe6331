"""What gangs are at, on runs whose reports say it."""

from __future__ import annotations

import pytest

from raytune_playbook.engine.driver.activity import WINDOW_S, Activity
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName, Cause
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, GangChanged, NewMeasurements

BATCH = 10


def name(index: int) -> AttemptName:
    return AttemptName("r", ("all", f"{index:05d}"), 1)


def started(activity: Activity, index: int, at_s: float) -> None:
    activity.heard(AttemptStarted(name(index), "gang-1"), BATCH, at_s)


def reported(activity: Activity, index: int, num_steps: int, at_s: float, *, step_s: float = 0.1) -> None:
    """Steps a quarter of whose time was waiting for data, and an evaluation."""
    step = {"split": "step", "loss": 1.0, "wait_s": step_s / 4, "compute_s": step_s * 3 / 4}
    rows = [{"step": number, **step} for number in range(num_steps)]
    rows.append({"step": num_steps, "split": "validation", "loss": 1.0})
    activity.heard(NewMeasurements(name(index), tuple(rows)), BATCH, at_s)


def ended(activity: Activity, index: int, at_s: float) -> None:
    activity.heard(AttemptEnded(name(index), AttemptEnd(Cause.COMPLETED), True), BATCH, at_s)


@pytest.mark.parametrize("every_s", [2.0, 10.0, 150.0])
def test_even_training_has_its_throughput_however_far_apart_reports_are(every_s):
    activity, per_second = Activity(0.0), 2.0
    started(activity, 0, 0.0)
    at_s = 0.0
    while at_s < 2 * WINDOW_S:
        at_s += every_s
        reported(activity, 0, int(every_s * per_second), at_s)
        assert activity.examples_per_second(at_s) == pytest.approx(BATCH * per_second)
        assert activity.examples_per_second(at_s + every_s / 2) == pytest.approx(BATCH * per_second)
        assert activity.input_wait_share(at_s) == pytest.approx(0.25)


def test_what_an_attempt_that_hangs_or_has_ended_did_is_forgotten_after_a_while():
    for hangs in (True, False):
        activity = Activity(0.0)
        started(activity, 0, 0.0)
        reported(activity, 0, 20, 10.0)
        if not hangs:
            ended(activity, 0, 10.0)
        assert activity.num_running == hangs
        assert activity.examples_per_second(40.0) == pytest.approx(BATCH * 20 * (3 if hangs else 1) / 40.0)
        assert activity.examples_per_second(40.0 + WINDOW_S) == 0.0
        assert activity.input_wait_share(40.0 + WINDOW_S) is None


def test_the_throughput_is_that_of_all_gangs_and_time_between_trials_counts():
    activity = Activity(0.0)
    for index in range(2):
        started(activity, index, 0.0)
        reported(activity, index, 50, 10.0)
        ended(activity, index, 10.0)
    assert activity.examples_per_second(10.0) == pytest.approx(2 * 50 * BATCH / 10.0)
    assert activity.examples_per_second(20.0) == pytest.approx(2 * 50 * BATCH / 20.0)


def test_what_an_attempt_tells_again_was_not_trained_again():
    activity = Activity(0.0)
    started(activity, 0, 0.0)
    reported(activity, 0, 100, 1.0)  # 10 s of steps within one
    assert activity.examples_per_second(1.0) == 0.0
    reported(activity, 0, 20, 4.0)
    assert activity.examples_per_second(4.0) == pytest.approx(BATCH * 20 / 4.0)


def test_reports_of_an_attempt_that_has_ended_count_for_nothing():
    activity = Activity(0.0)
    reported(activity, 0, 20, 4.0)
    assert (activity.examples_per_second(4.0), activity.input_wait_share(4.0), activity.num_running) == (0.0, None, 0)


def test_utilization_is_the_share_of_all_gangs_time_in_the_window():
    activity = Activity(0.0)
    assert activity.gang_utilization(0.0) is None
    activity.gangs_were([], 0.0, 5.0)
    assert activity.gang_utilization(5.0) is None
    activity.gangs_were([GangState.BUSY, GangState.STARTING], 5.0, 15.0)
    assert activity.gang_utilization(15.0) == pytest.approx(1 / 2)
    activity.gangs_were([GangState.BUSY, GangState.BUSY], 15.0, 25.0)
    assert activity.gang_utilization(25.0) == pytest.approx(3 / 4)
    activity.gangs_were([GangState.READY], 25.0, 15.0 + WINDOW_S)
    assert activity.gang_utilization(15.0 + WINDOW_S) == pytest.approx(20 / (20 + WINDOW_S - 10))


def test_only_a_restart_that_nobody_asked_for_counts():
    activity = Activity(0.0)
    for event in (GangChanged("gang-1 starts"), GangChanged("gang-1 lost its host", is_restart=True)):
        activity.heard(event, 0, 1.0)
    assert activity.num_restarts == 1
