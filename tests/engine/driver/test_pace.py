"""The time that is left, on rounds whose trials take as long as these say."""

from __future__ import annotations

import pytest

from raytune_playbook.engine.driver.pace import CLOSING_S, FIRST_TRIAL_S, Pace
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName, Cause
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, NewMeasurements

STEPS = 100


def pace_of(num_trials: int, estimate_s: float | None = None) -> Pace:
    return Pace({"all": num_trials}, STEPS, {} if estimate_s is None else {"all": estimate_s})


def name(index: int, attempt: int = 1, study: str = "all") -> AttemptName:
    return AttemptName("r", (study, f"{index:05d}"), attempt)


def started(pace: Pace, index: int, at_s: float, *, attempt: int = 1, num_gangs: int = 1) -> None:
    pace.heard(AttemptStarted(name(index, attempt), f"gang-{index % num_gangs}"), at_s)


def ended(pace: Pace, index: int, at_s: float, *, cause: Cause = Cause.COMPLETED, is_final: bool = True) -> None:
    pace.heard(AttemptEnded(name(index), AttemptEnd(cause), is_final), at_s)


def reported(pace: Pace, index: int, step: int, at_s: float) -> None:
    pace.heard(NewMeasurements(name(index), ({"step": step, "split": "train"},)), at_s)


def left_s(pace: Pace, num_gangs: int, at_s: float) -> float:
    """What is left of the trials alone."""
    left = pace.left_s(num_gangs, at_s)
    assert left is not None
    return left - CLOSING_S


def test_until_a_trial_reports_the_check_before_trial_0_is_all_that_is_known():
    assert pace_of(4).left_s(1, 0.0) is None
    assert left_s(pace_of(4, 3.0), 1, 0.0) == pytest.approx(12.0 + FIRST_TRIAL_S)
    assert left_s(pace_of(4, 3.0), 2, 0.0) == pytest.approx(6.0 + FIRST_TRIAL_S)
    assert left_s(pace_of(5, 3.0), 2, 0.0) == pytest.approx(9.0 + FIRST_TRIAL_S)  # one gang has three of the five


def test_what_has_been_measured_counts_and_not_the_estimate():
    pace = pace_of(4, 1.0)
    started(pace, 0, 10.0)
    assert left_s(pace, 1, 10.0) == pytest.approx(4.0)
    reported(pace, 0, 0, 11.0)  # the evaluation before the first step
    assert left_s(pace, 1, 11.0) == pytest.approx(3.0)
    reported(pace, 0, 25, 15.0)  # a quarter in 5 s
    assert left_s(pace, 1, 15.0) == pytest.approx(15.0 + 3 * 20.0)
    ended(pace, 0, 26.0)
    started(pace, 1, 26.0)
    assert left_s(pace, 1, 30.0) == pytest.approx(12.0 + 2 * 16.0)
    ended(pace, 1, 50.0)  # it took 24 s, and the mean is 20
    started(pace, 2, 50.0)
    assert left_s(pace, 1, 50.0) == pytest.approx(40.0)


def test_gangs_that_start_later_and_the_end_where_only_some_have_work():
    pace = pace_of(5)
    for index in (0, 1):
        started(pace, index, 0.0, num_gangs=2)
        ended(pace, index, 10.0)
        started(pace, index + 2, 10.0, num_gangs=2)
    assert left_s(pace, 2, 10.0) == pytest.approx(20.0)
    assert left_s(pace, 3, 10.0) == pytest.approx(10.0)
    assert left_s(pace, 2, 14.0) == pytest.approx(16.0)


def test_an_attempt_that_was_lost_is_no_trial_that_has_ended():
    pace = pace_of(2, 10.0)
    started(pace, 0, 0.0)
    ended(pace, 0, 3.0, cause=Cause.NODE_LOST, is_final=False)
    assert left_s(pace, 1, 3.0) == pytest.approx(20.0)
    started(pace, 0, 4.0, attempt=2)
    assert left_s(pace, 1, 4.0) == pytest.approx(19.0)  # its gang was free at 3


def test_the_time_between_trials_is_theirs_and_that_in_which_a_gang_starts_anew_is_not():
    pace = pace_of(4)
    for index, begins_s in enumerate((0.0, 11.0, 42.0)):
        started(pace, index, begins_s)
        ended(pace, index, begins_s + 10.0)
    # 10 s, then 10 s and one for the handover, then 10 s and what a handover takes at most.
    assert left_s(pace, 1, 52.0) == pytest.approx((10 + 11 + 13) / 3)


def test_while_there_is_no_gang_nobody_knows():
    pace = pace_of(4, 3.0)
    assert pace.left_s(0, 0.0) is None
    started(pace, 0, 0.0)
    ended(pace, 0, 5.0, cause=Cause.NODE_LOST, is_final=False)  # its gang is gone
    assert pace.left_s(0, 5.0) is None
    assert left_s(pace, 1, 6.0) == pytest.approx(12.0)


def took(pace: Pace, study: str, index: int, begins_s: float, trial_s: float) -> None:
    """One gang trains a whole trial."""
    pace.heard(AttemptStarted(name(index, study=study), "gang-1"), begins_s)
    pace.heard(AttemptEnded(name(index, study=study), AttemptEnd(Cause.COMPLETED), True), begins_s + trial_s)


def test_studies_whose_trials_cost_more_or_less_are_told_apart():
    pace = Pace({"cheap": 2, "dear": 2, "unknown": 1}, STEPS, {"cheap": 2.0, "dear": 6.0})
    assert left_s(pace, 1, 0.0) == pytest.approx(2 * 2.0 + 2 * 6.0 + 4.0 + FIRST_TRIAL_S)
    assert left_s(pace, 2, 0.0) == pytest.approx(max(2.0 + 4.0 + 2.0, 6.0 + 6.0) + FIRST_TRIAL_S)  # in turns
    took(pace, "cheap", 0, 0.0, 3.0)  # the estimates were half as long again too low
    assert pace.trials_s() == pytest.approx({"cheap": 3.0, "dear": 9.0, "unknown": 6.0})
    took(pace, "dear", 0, 3.0, 21.0)
    assert pace.trials_s() == pytest.approx({"cheap": 3.0, "dear": 21.0, "unknown": 12.0})
    took(pace, "unknown", 0, 24.0, 1.0)
    assert left_s(pace, 1, 25.0) == pytest.approx(3.0 + 21.0)
    pace.heard(AttemptStarted(name(1, study="dear"), "gang-1"), 25.0)
    assert left_s(pace, 1, 30.0) == pytest.approx(16.0 + 3.0)


def test_trials_wait_in_the_order_in_which_they_will_run_the_studies_in_turns():
    pace = Pace({"dear": 3, "cheap": 3}, STEPS, {"dear": 6.0, "cheap": 2.0})
    # 6 beside 2 + 6, then 2 + 6 beside 2; study after study it would be 6 + 6 beside 6 + 2 + 2 + 2.
    assert left_s(pace, 2, 0.0) == pytest.approx(14.0 + FIRST_TRIAL_S)
