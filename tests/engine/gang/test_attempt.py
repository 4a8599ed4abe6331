"""What became of an attempt, from what its workers said; without a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.engine.gang import attempt as verdict
from raytune_playbook.engine.gang.attempt import RunningAttempt
from raytune_playbook.engine.gang.messages import Assignment, Cause, Hello, WorkerEnd
from raytune_playbook.engine.gang.train_run import Fit
from raytune_playbook.records.types import Machine, TimeByPart, Training
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.settings import Resources
from raytune_playbook.train.end import End

MACHINE = Machine(torch="2.13.0", num_workers=2)
COMPLETED = End("completed", Training(10, num_parameters=5, train_s=1.0))
TOO_MUCH = End("infeasible", Training(3, num_parameters=5, train_s=1.0), reason="out of memory: 2 GiB")
STOPPED = End(None, Training(4, num_parameters=5, train_s=1.0))


@pytest.fixture
def attempt(make_round) -> RunningAttempt:
    trial = suggest(make_round("verdict").studies[0], 0)
    return RunningAttempt(Assignment(1, "r", trial, 1, "", "", keeps_checkpoints=True))


def said(
    attempt: RunningAttempt, rank: int, end: End | None, error: str | None = None, leak: str | None = None
) -> None:
    traceback = None if error is None else f"Traceback ...\n{error}"
    attempt.ends[rank] = WorkerEnd(rank, end, num_reports=2, traceback=traceback, error=error, leak=leak)


def ended(attempt, *, stop_wanted=False, fresh_workers=False):
    return verdict.ended(attempt, MACHINE, stop_wanted=stop_wanted, fresh_workers=fresh_workers)


def aborted(attempt, *, is_node_lost=False):
    return verdict.aborted(attempt, MACHINE, "no batch for 5 s", stop_wanted=False, is_node_lost=is_node_lost)


@pytest.mark.parametrize(
    ("end", "cause"), [(COMPLETED, Cause.COMPLETED), (TOO_MUCH, Cause.INFEASIBLE), (STOPPED, Cause.STOPPED)]
)
def test_workers_that_agree(attempt, end, cause):
    for rank in range(2):
        said(attempt, rank, end)
    found = ended(attempt)
    assert (found.cause, found.end, found.machine, found.restarts_gang) == (cause, end, MACHINE, False)
    assert ended(attempt, fresh_workers=True).restarts_gang


def test_pi1_times_are_those_of_the_worker_that_waited_longest_for_its_batches(attempt):
    quick = TimeByPart(wait_s=0.1, sync_s=7.0, compute_s=1.0)
    slow = TimeByPart(wait_s=2.0, transfer_s=1.0, augment_s=4.0, compute_s=1.1)
    training = COMPLETED.training
    first = replace(training, time_by_part=quick, stages={"read": 0.5}, best_checkpoint_step=4)
    said(attempt, 0, replace(COMPLETED, training=first))
    said(attempt, 1, replace(COMPLETED, training=replace(training, time_by_part=slow, stages={"read": 3.0})))
    found = ended(attempt).end
    whole = replace(training, time_by_part=slow, stages={"read": 3.0}, best_checkpoint_step=4)  # which rank 0 keeps
    assert found == replace(COMPLETED, training=whole)
    assert found.training.input_s == 7.0


@pytest.mark.parametrize(("peaks", "most"), [((5, 7), 7), ((5, None), 5), ((None, None), None)])
def test_in20_the_memory_is_that_of_the_worker_that_took_most_and_what_any_has_read_was_read(attempt, peaks, most):
    for rank, (peak, name) in enumerate(zip(peaks, ("width", "depth"), strict=True)):
        training = replace(COMPLETED.training, peak_memory_bytes=peak)
        said(attempt, rank, replace(COMPLETED, training=training, read=frozenset({name})))
    found = ended(attempt).end
    assert (found.training.peak_memory_bytes, found.read) == (most, {"width", "depth"})


def test_a_leak_restarts_the_gang_and_is_a_warning(attempt):
    said(attempt, 0, COMPLETED)
    said(attempt, 1, COMPLETED, leak="memory grew")
    found = ended(attempt)
    assert (found.cause, found.warning, found.restarts_gang) == (Cause.COMPLETED, "memory grew", True)


def test_an_exception_of_one_worker_is_the_trials(attempt):
    said(attempt, 0, COMPLETED)
    said(attempt, 1, None, "ValueError: no")
    found = ended(attempt)
    assert (found.cause, found.error) == (Cause.EXCEPTION, "ValueError: no")
    assert found.traceback.startswith("rank 1:\n")


def test_a_drain_is_a_lost_node_unless_the_trial_was_asked_to_stop_or_has_ended(attempt):
    attempt.drained = ("host-2",)
    for rank in range(2):
        said(attempt, rank, STOPPED)
    found = ended(attempt)
    assert (found.cause, found.error, found.restarts_gang) == (Cause.NODE_LOST, "host-2 is being drained", True)
    assert ended(attempt, stop_wanted=True).cause == Cause.STOPPED
    for rank in range(2):
        said(attempt, rank, COMPLETED)
    assert ended(attempt).cause == Cause.COMPLETED


@pytest.mark.parametrize("rank", [0, 1])
def test_one_worker_out_of_memory_is_infeasible_whatever_that_did_to_the_other(attempt, rank):
    said(attempt, rank, TOO_MUCH)
    waiting = aborted(attempt)  # in a collective, which the first one left
    assert (waiting.cause, waiting.end, waiting.restarts_gang) == (Cause.INFEASIBLE, TOO_MUCH, True)
    said(attempt, 1 - rank, None, "RuntimeError: timed out")
    failed = ended(attempt)
    assert (failed.cause, failed.end, failed.restarts_gang) == (Cause.INFEASIBLE, TOO_MUCH, True)


def test_what_hangs_is_a_dead_worker_and_what_raised_before_an_exception(attempt):
    found = aborted(attempt)
    assert (found.cause, found.error, found.restarts_gang) == (Cause.WORKER_DIED, "no batch for 5 s", True)
    said(attempt, 1, None, "ValueError: no")
    found = aborted(attempt)
    assert (found.cause, found.error) == (Cause.EXCEPTION, "ValueError: no")
    assert "ValueError: no" in found.traceback and "the gang was restarted" in found.traceback
    assert aborted(attempt, is_node_lost=True).cause == Cause.NODE_LOST


def test_a_host_that_was_out_of_reach_is_lost_also_where_it_is_back_before_the_workers_have_ended(attempt):
    attempt.unreachable = ("two",)
    said(attempt, 0, None, "RuntimeError: Connection closed by peer")
    assert aborted(attempt).cause is Cause.NODE_LOST


@pytest.mark.parametrize("verdict_of", [ended, aborted])
def test_examples_that_are_gone_are_no_fault_of_the_trials(attempt, verdict_of):
    said(attempt, 1, None, "OwnerDiedError: Failed to retrieve object 0066")
    attempt.ends[1] = replace(attempt.ends[1], lacks_examples=True)
    said(attempt, 0, None, "RuntimeError: Connection closed by peer")  # the other one left it
    found = verdict_of(attempt)
    assert (found.cause, found.traceback) == (Cause.EXAMPLES_LOST, None)
    assert found.error is not None and "no longer in the cluster's memory" in found.error


def test_examples_that_a_lost_host_held_are_looked_for_by_the_next_attempt(attempt):
    said(attempt, 1, None, "ObjectLostError: Failed to retrieve object 0066")
    attempt.ends[1] = replace(attempt.ends[1], lacks_examples=True)
    assert aborted(attempt, is_node_lost=True).cause is Cause.NODE_LOST
    attempt.unreachable = ("two",)
    assert aborted(attempt).cause is Cause.NODE_LOST


def test_an_attempt_of_which_all_is_known_counts_though_its_workers_had_to_be_ended(attempt):
    said(attempt, 0, COMPLETED)
    attempt.num_reports = 1
    assert aborted(attempt).cause == Cause.WORKER_DIED  # measurements are missing
    attempt.num_reports = 2
    assert (aborted(attempt).cause, aborted(attempt).restarts_gang) == (Cause.COMPLETED, True)


IN_TRAIN = """Training failed due to worker errors:
[Rank 1 Error Snippet]:
A worker health check failed.
Worker info: Worker(
  actor=Actor(RayTrainWorker, a2cb),
)
"""
DIED = """The actor died unexpectedly before finishing this task.
\tclass_name: RayTrainWorker
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: End of \
file. Some common causes include: (1) the process was killed by the OOM killer due to high memory usage
"""
MONITOR = """The actor is dead because its worker process has died. Worker exit type: NODE_OUT_OF_MEMORY
1 worker(s) were killed due to the node running low on memory. Memory on the node was 15.2GB / 16.0GB
"""
RAISED = """Training failed due to worker errors:
[Rank 0,1 Error Snippet]:
Traceback (most recent call last):
  File "worker.py", line 83, in run_worker
    leak = leaks.leak()
TypeError: unsupported format string
"""


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (
            IN_TRAIN + DIED,
            "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
            "End of file.",
        ),
        (
            IN_TRAIN + MONITOR,
            "1 worker(s) were killed due to the node running low on memory. Memory on the node was 15.2GB / 16.0GB",
        ),
        (RAISED, "TypeError: unsupported format string"),
        ("no room\nat all", "no room"),
        ("x" * 1000, "x" * verdict.MAX_SENTENCE),
        ("", ""),
    ],
)
def test_the_line_of_a_report_that_says_why(report, sentence):
    assert verdict.why(report) == sentence


@pytest.mark.parametrize(("is_node_lost", "cause"), [(True, Cause.NODE_LOST), (False, Cause.WORKER_DIED)])
def test_the_end_of_the_worker_group_under_an_attempt(attempt, is_node_lost, cause):
    said(attempt, 1, None, "ValueError: no")
    found = verdict.lost(attempt, MACHINE, "the controller died\nat once", is_node_lost=is_node_lost)
    assert (found.cause, found.error, found.restarts_gang) == (cause, "the controller died", True)
    assert "ValueError: no" in found.traceback


def test_the_machine_is_what_the_workers_said_in_the_order_of_their_ranks():
    fit = Fit(generation=1)
    resources = Resources(num_workers=2, cpus_per_worker=3)
    assert verdict.machine_of(fit, resources) == Machine(num_workers=2, threads_per_worker=3)
    for rank, host in ((1, "b"), (0, "a")):
        fit.hellos[rank] = Hello(rank, f"node-{host}", host, 7, "2.13.0", "AVX2", "cpu", 4)
    assert verdict.machine_of(fit, resources) == Machine("2.13.0", "AVX2", "cpu", 2, 3, ("a", "b"), (4, 4))


def test_the_error_of_the_worker_whose_code_raised_is_the_attempts(attempt):
    left = 'File "/lib/python3.11/site-packages/torch/distributed/c10d.py", line 1, in all_reduce'
    attempt.ends[0] = WorkerEnd(0, None, 2, traceback=f"{left}\nRuntimeError: closed by peer", error="Error: closed")
    said(attempt, 1, None, "ValueError: no")
    assert ended(attempt).error == "ValueError: no"
    assert aborted(attempt).error == "ValueError: no"
    assert [part in aborted(attempt).traceback for part in ("rank 0:\n", "rank 1:\n", "closed by peer")] == [True] * 3
    del attempt.ends[1]
    assert ended(attempt).error == "Error: closed"
