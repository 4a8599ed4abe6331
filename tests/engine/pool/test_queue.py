"""The queue's rules, without a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.engine.gang.changes import Changes
from raytune_playbook.engine.gang.messages import AttemptEnd, AttemptName, Cause
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.pool.events import AttemptStarted, GangChanged
from raytune_playbook.engine.pool.queue import Leases, QueuedTrial, TrialQueue
from raytune_playbook.search.suggest import suggest


@pytest.fixture
def queue(make_round) -> TrialQueue:
    """A queue with one open round ``r`` of three trials."""
    studies = {study.name: study for study in make_round("queue", trials_per_study=3).studies}
    opened = TrialQueue(Changes())
    opened.open(RoundContext("r", "", b"", {}, studies), num_left=3)
    return opened


def attempt(queue: TrialQueue, cause: Cause) -> tuple[QueuedTrial, bool]:
    trial = queue.next()
    assert trial is not None
    return trial, queue.settle(trial, AttemptEnd(cause))


def test_a_retry_comes_before_what_has_waited_and_any_end_that_is_final_leaves_one_trial_less(queue):
    queue.submit("r", "all", 0)
    queue.submit("r", "all", 1)
    for cause, is_last in [(Cause.NODE_LOST, False), (Cause.EXCEPTION, False), (Cause.WORKER_DIED, True)]:
        assert queue.num_left == 3
        trial, is_final = attempt(queue, cause)
        assert (trial.spec.index, is_final) == (0, is_last)
    assert trial.final == AttemptEnd(Cause.WORKER_DIED)
    assert queue.num_left == 2
    assert attempt(queue, Cause.COMPLETED)[0].spec.index == 1


def test_a_trial_that_comes_further_goes_on_however_often_its_workers_die(queue):
    queue.submit("r", "all", 0)
    trial = queue.find("r", ("all", "00000"))
    for trial.reported_step, is_last in [(0, False), (4, False), (8, False), (8, True)]:
        assert attempt(queue, Cause.WORKER_DIED)[1] == is_last


def test_a_stopped_round_ends_what_waits_and_names_what_runs(queue):
    for index in range(3):
        queue.submit("r", "all", index)
    running = queue.next()
    assert queue.stop("r") == [running]
    assert queue.next() is None
    assert queue.num_left == 0
    waiting = queue.find("r", ("all", "00001"))
    assert waiting is not None and waiting.final == AttemptEnd(Cause.STOPPED)
    assert queue.settle(running, AttemptEnd(Cause.EXCEPTION))  # not retried any more
    queue.submit("r", "all", 2)
    assert queue.next() is None


def test_a_trial_that_was_asked_to_stop_is_over_however_its_attempt_ends(queue):
    for index in range(2):
        queue.submit("r", "all", index)
    running, waiting = queue.next(), queue.find("r", ("all", "00001"))
    assert not queue.stop_trial(running)  # a gang has it
    assert queue.stop_trial(waiting)
    assert queue.num_left == 2
    assert queue.settle(running, AttemptEnd(Cause.NODE_LOST))
    assert queue.num_left == 1
    assert queue.next() is None


def test_a_driver_hears_of_its_own_round_alone_and_nothing_of_a_closed_one(queue):
    queue.open(replace(queue.context("r"), round_id="s"), num_left=3)
    for round_id in ("r", "s"):
        queue.submit(round_id, "all", 0)
    trials = [queue.next(), queue.next()]
    started = [AttemptStarted(trial.attempt, "gang-1") for trial in trials]
    assert [each.name for each in started] == [AttemptName(name, ("all", "00000"), 0) for name in ("r", "s")]
    numbers = [queue.emit(trial, event) for trial, event in zip(trials, started, strict=True)]
    queue.emit_to_all(GangChanged("a gang is ready"))
    for round_id, event in zip(("r", "s"), started, strict=True):
        assert queue.round(round_id).events.pending == ((1, event), (2, GangChanged("a gang is ready")))
    queue.round("r").events.acknowledge(2)
    assert queue.round("r").events.is_acknowledged(numbers[0])
    assert not queue.round("s").events.is_acknowledged(numbers[1])
    queue.close("r")
    assert queue.emit(trials[0], started[0]) is None
    queue.open(replace(queue.context("s"), round_id="r"), num_left=3)  # as it goes on
    assert queue.round("r").events.pending == ()


def test_the_check_before_trial_0_is_retried_as_a_check_and_comes_before_the_trials(queue):
    spec = suggest(queue.context("r").studies["all"], 0)
    queue.try_out("r", spec)
    assert queue.num_left == 3  # no gang more is wanted for it
    assert not attempt(queue, Cause.WORKER_DIED)[1]
    assert attempt(queue, Cause.EXCEPTION)[1]
    assert queue.num_left == 3
    queue.try_out("r", spec)
    assert attempt(queue, Cause.EXCEPTION)[1]  # at once, other than a trial's


def test_a_check_alone_is_retried_too(queue):
    """A round may have no trial left."""
    queue.open(queue.context("r"), num_left=0)
    queue.try_out("r", suggest(queue.context("r").studies["all"], 0))
    assert queue.num_left == 1
    assert not attempt(queue, Cause.NODE_LOST)[1]
    assert queue.num_left == 1
    assert attempt(queue, Cause.COMPLETED)[1]
    assert queue.num_left == 0


def test_a_check_whose_round_is_closed_is_not_retried(queue):
    queue.try_out("r", suggest(queue.context("r").studies["all"], 0))
    trial = queue.next()
    queue.close("r")
    assert queue.settle(trial, AttemptEnd(Cause.NODE_LOST))


def test_tune_hears_of_an_end_only_while_all_its_other_trials_are_here():
    leases = Leases(num_trials=4, num_slots=3)
    leases.num_submitted = 2
    assert not leases.may_return()  # Tune has a third on its way here
    leases.num_submitted = 3
    assert leases.may_return()
    leases.num_returned = 1
    assert not leases.may_return()  # the freed slot's next trial is on its way
    leases.num_submitted = 4
    assert leases.may_return()
    for leases.num_returned in (2, 3):
        assert leases.may_return()  # no more are to come
