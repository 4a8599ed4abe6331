"""The queue's rules, without a cluster."""

from __future__ import annotations

import pytest

from raytune_playbook.engine.gang.messages import AttemptEnd, Cause
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.pool.queue import Leases, QueuedTrial, TrialQueue
from raytune_playbook.search.suggest import suggest


@pytest.fixture
def queue(make_round) -> TrialQueue:
    """A queue with one open round ``r`` of three trials."""
    studies = {study.name: study for study in make_round("queue", trials_per_study=3).studies}
    opened = TrialQueue()
    opened.open(RoundContext("r", "", b"", {}, studies), num_left=3)
    return opened


def attempt(queue: TrialQueue, cause: Cause) -> tuple[QueuedTrial, bool]:
    trial = queue.next()
    assert trial is not None
    return trial, queue.settle(trial, AttemptEnd(cause=cause))


@pytest.mark.parametrize(
    ("causes", "num_attempts"),
    [
        (["completed"], 1),
        (["infeasible"], 1),  # never retried
        (["stopped"], 1),  # left for resume
        (["exception", "exception"], 2),
        (["exception", "completed"], 2),
        (["worker died", "exception"], 2),
        (["node lost", "node lost", "node lost", "completed"], 4),  # not counted
        (["node lost", "exception", "node lost", "worker died"], 4),
    ],
)
def test_which_attempts_are_retried(queue, causes, num_attempts):
    queue.submit("r", "all", 0)
    queue.submit("r", "all", 1)
    for number, cause in enumerate(causes, start=1):
        trial, is_final = attempt(queue, cause)
        assert trial.spec.index == 0  # a retry comes before what has waited
        assert is_final == (number == num_attempts)
    assert trial.final == AttemptEnd(cause=causes[-1])
    assert queue.num_left == 2


def test_a_stopped_round_ends_what_waits_and_names_what_runs(queue):
    for index in range(3):
        queue.submit("r", "all", index)
    running = queue.next()
    assert queue.stop("r") == [running]
    assert queue.next() is None
    assert queue.num_left == 0
    waiting = queue.find("r", ("all", "00001"))
    assert waiting is not None and waiting.final == AttemptEnd(cause="stopped")
    assert queue.settle(running, AttemptEnd(cause="exception"))  # not retried any more
    queue.submit("r", "all", 2)
    assert queue.next() is None


@pytest.mark.parametrize(
    ("causes", "num_attempts"),
    [
        (["exception"], 1),  # its code's, which is what the check is for
        (["node lost", "node lost", "completed"], 3),
        (["worker died", "completed"], 2),
        (["worker died", "worker died"], 2),
        (["worker died", "exception"], 2),
    ],
)
def test_the_check_before_trial_0_survives_what_is_not_its_codes_and_counts_as_work(queue, causes, num_attempts):
    queue.try_out("r", suggest(queue.context("r").studies["all"], 0))
    assert queue.num_left == 3 + 1
    for number, cause in enumerate(causes, start=1):
        _, is_final = attempt(queue, cause)
        assert is_final == (number == num_attempts)
    assert queue.num_left == 3


def test_a_check_alone_is_retried_too(queue):
    """``raytune-playbook check`` opens a round of no trials."""
    queue.open(queue.context("r"), num_left=0)
    queue.try_out("r", suggest(queue.context("r").studies["all"], 0))
    assert not attempt(queue, "node lost")[1]
    assert attempt(queue, "completed")[1]


def test_a_check_whose_round_is_closed_is_not_retried(queue):
    queue.try_out("r", suggest(queue.context("r").studies["all"], 0))
    trial = queue.next()
    queue.close("r")
    assert queue.settle(trial, AttemptEnd(cause="node lost"))


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
