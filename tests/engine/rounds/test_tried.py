"""What a trial will take by what the check has measured, on checks that took as long as these say."""

from __future__ import annotations

import pytest

from raytune_playbook.engine.gang.messages import AttemptEnd, Cause
from raytune_playbook.engine.rounds.tried import Tried, estimates_s
from raytune_playbook.records.types import TimeByPart, Training
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.settings import Budget
from raytune_playbook.train.end import End

BUDGET = Budget(num_trials=4, max_train_steps=100, evaluation_interval_steps=50)


@pytest.fixture
def points(make_round):
    """The first points of three studies."""
    return [suggest(study, 0) for study in make_round("tried", arms=3).studies]


def tried(spec, *, beside_s: float, had_workers: bool = True) -> Tried:
    """3 steps of 2 s, of which the first one takes 4, 2 evaluations of 1 s, and 0.5 s before them."""
    training = Training(3, 7, train_s=10.5, time_by_part=TimeByPart(compute_s=8.0), evaluations_s=2.0)
    ended = AttemptEnd(Cause.COMPLETED, End(None, training, step_s=2.0))
    return Tried(spec, ended, 10.5 + beside_s, had_workers, {})


def test_a_trial_takes_what_its_training_does_and_what_checks_took_beside(points):
    training_s = 0.5 + 100 * 2.0 + 3 * 1.0
    first = tried(points[0], beside_s=15.0, had_workers=False)  # it waited for workers
    assert estimates_s([first], BUDGET) == {points[0].study: training_s}
    found = estimates_s([first, tried(points[1], beside_s=0.5), tried(points[2], beside_s=1.5)], BUDGET)
    assert found == pytest.approx(dict.fromkeys((spec.study for spec in points), training_s + 1.0))


def test_a_check_in_which_workers_started_tells_nothing_of_that(points):
    checks = [
        tried(points[0], beside_s=15.0, had_workers=False),
        tried(points[1], beside_s=0.5),
        tried(points[2], beside_s=20.0, had_workers=False),  # its gang was lost
    ]
    assert estimates_s(checks, BUDGET)[points[0].study] == pytest.approx(203.5 + 0.5)


def test_a_check_that_did_not_come_to_a_second_step_gives_no_estimate(points):
    lost = Tried(points[0], AttemptEnd(Cause.STOPPED), 3.0, True, {})
    assert estimates_s([lost, tried(points[1], beside_s=0.5)], BUDGET) == {points[1].study: pytest.approx(204.0)}
