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


def came(activity: Activity, index: int, num_steps: int, at_s: float, *, step_s: float = 0.1) -> None:
    """A report of steps a quarter of whose time was waiting for data, and an evaluation."""
    step = {"split": "step", "loss": 1.0, "wait_s": step_s / 4, "compute_s": step_s * 3 / 4}
    rows = [{"step": number, **step} for number in range(num_steps)]
    rows.append({"step": num_steps, "split": "validation", "loss": 1.0})
    activity.heard(NewMeasurements(name(index), tuple(rows)), BATCH, at_s)


def reported(activity: Activity, index: int, num_steps: int, at_s: float) -> None:
    """It came alone."""
    came(activity, index, num_steps, at_s)
    activity.heard_all(at_s)


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


@pytest.mark.parametrize("turns", [(1, 1, 1), (5, 5, 5), (2, 1, 7), (20,)], ids=str)
@pytest.mark.parametrize("late_s", [0.01, 0.9])
def test_reports_of_every_second_count_fully_however_many_are_heard_together(turns, late_s):
    activity, made, at_s = Activity(0.0), 0, 0.0
    started(activity, 0, 0.0)
    for turn, num_reports in enumerate(turns):
        made += num_reports
        at_s = made + late_s * (turn % 2 == 0)  # now late, now on time
        for number in range(num_reports):
            came(activity, 0, 10, at_s + number / 1000)  # each is recorded before the next is heard of
        at_s += num_reports / 1000
        activity.heard_all(at_s)
        assert activity.examples_per_second(at_s) == pytest.approx(made * 10 * BATCH / at_s)
        assert activity.input_wait_share(at_s) == pytest.approx(0.25)
    ended(activity, 0, at_s)
    assert activity.examples_per_second(at_s) == pytest.approx(made * 10 * BATCH / at_s)


def test_the_last_reports_that_are_heard_with_the_end_count():
    activity = Activity(0.0)
    started(activity, 0, 0.0)
    for _ in range(3):
        came(activity, 0, 10, 3.0)
    ended(activity, 0, 3.0)
    activity.heard_all(3.0)
    assert activity.examples_per_second(3.0) == pytest.approx(3 * 10 * BATCH / 3.0)


def test_many_reports_that_are_told_again_together_count_for_nothing():
    """Each of them is of steps for which there would have been time."""
    activity = Activity(0.0)
    started(activity, 0, 0.0)
    for _ in range(10):
        came(activity, 0, 10, 3.0)
    activity.heard_all(3.0)
    assert activity.examples_per_second(3.0) == 0.0
    reported(activity, 0, 10, 4.0)
    assert activity.examples_per_second(4.0) == pytest.approx(10 * BATCH / 4.0)


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
