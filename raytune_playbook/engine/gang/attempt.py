"""What became of an attempt, from what its workers have said and what their host has seen; pure functions."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from raytune_playbook.engine.gang.messages import Assignment, AttemptEnd, Cause, WorkerEnd
from raytune_playbook.engine.gang.train_run import Fit
from raytune_playbook.records.columns import MeasurementRow
from raytune_playbook.records.types import Machine, Outcome
from raytune_playbook.study.settings import Resources
from raytune_playbook.train.end import End

MAX_SENTENCE = 400
EXAMPLES_LOST = "the examples are no longer in the cluster's memory, for the process that held them has ended"
_HEADS = ("Training failed due to worker errors:", "[Rank ", "Traceback (most recent call last):")
_SIGNS = ("low on memory", "memory pressure", "The actor is dead because", "is temporarily unavailable")


@dataclass
class RunningAttempt:
    """The attempt that the workers are at, seen from the host.

    Fields beside those that say themselves: ``unreachable`` (names of hosts upon whose silence the attempt is given up;
    they may be back before its workers have ended).
    """

    assignment: Assignment
    ends: dict[int, WorkerEnd] = field(default_factory=dict)
    reports: dict[int, tuple[MeasurementRow, ...]] = field(default_factory=dict)
    num_reports: int = 0
    lost_rows: str | None = None
    is_forwarding: bool = False
    num_batches: dict[int, int] = field(default_factory=dict)
    started_at_s: float = field(default_factory=time.monotonic)
    heard_at_s: dict[int, float] = field(default_factory=dict)
    moved_at_s: float = field(default_factory=time.monotonic)
    first_end_at_s: float | None = None
    drained: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()


def ended(attempt: RunningAttempt, machine: Machine, *, stop_wanted: bool, fresh_workers: bool) -> AttemptEnd:
    """The workers have ended by themselves; those of which nothing is known yet ended as the others did.

    Args:
        stop_wanted: the trial was asked to end.
        fresh_workers: the gang is restarted after every trial.
    """
    ends = _in_order(attempt)
    warning = next((end.leak for end in ends if end.leak), None)
    restarts = fresh_workers or warning is not None
    raised = [end for end in ends if end.traceback is not None]
    if (failure := _storage_failure(attempt)) is not None:
        return AttemptEnd(Cause.STORAGE_FAILED, error=failure, machine=machine, restarts_gang=restarts, warning=warning)
    if any(end.lacks_examples for end in ends):
        return AttemptEnd(
            Cause.EXAMPLES_LOST, error=EXAMPLES_LOST, machine=machine, restarts_gang=restarts, warning=warning
        )
    if raised:
        if (infeasible := _infeasible(attempt)) is not None:  # the others failed because it left them
            return AttemptEnd(Cause.INFEASIBLE, infeasible, machine=machine, restarts_gang=True, warning=warning)
        text = "\n".join(_of_ranks(raised))
        first = _cause(raised)
        return AttemptEnd(Cause.EXCEPTION, None, text, first.error, first.is_input_error, machine, restarts, warning)
    end = _of_all_workers([end.end for end in ends if end.end is not None])
    if end is None:
        raise RuntimeError("a worker ended without an outcome and without an error")
    cause = Cause.STOPPED if end.outcome is None else Cause(end.outcome)
    why = f"{', '.join(attempt.drained)} is being drained" if attempt.drained else None
    if attempt.drained and cause is Cause.STOPPED and not stop_wanted:
        cause = Cause.NODE_LOST
    restarts = restarts or bool(attempt.drained)
    return AttemptEnd(cause, end, why, why, machine=machine, restarts_gang=restarts, warning=warning)


def aborted(
    attempt: RunningAttempt, machine: Machine, reason: str, *, stop_wanted: bool, is_node_lost: bool
) -> AttemptEnd:
    """Workers had to be ended: some did not go on while others did, or their node was out of reach."""
    if 0 in attempt.ends and attempt.num_reports >= attempt.ends[0].num_reports:  # all that is to be recorded is here
        whole = ended(attempt, machine, stop_wanted=stop_wanted, fresh_workers=True)
        if whole.cause in (Cause.COMPLETED, Cause.INFEASIBLE):
            return whole
    if (failure := _storage_failure(attempt)) is not None:
        return AttemptEnd(Cause.STORAGE_FAILED, error=failure, machine=machine, restarts_gang=True)
    is_node_lost = is_node_lost or bool(attempt.unreachable)
    # Where a node is gone the next attempt shows whether they are: what it held of them may be elsewhere as well.
    if not is_node_lost and any(end.lacks_examples for end in attempt.ends.values()):
        return AttemptEnd(Cause.EXAMPLES_LOST, error=EXAMPLES_LOST, machine=machine, restarts_gang=True)
    if (infeasible := _infeasible(attempt)) is not None:  # it left the others waiting in a collective
        return AttemptEnd(Cause.INFEASIBLE, infeasible, machine=machine, restarts_gang=True)
    text = _tracebacks(attempt, f"{reason}; the gang was restarted\n")
    if is_node_lost:
        return AttemptEnd(Cause.NODE_LOST, None, text, reason, machine=machine, restarts_gang=True)
    raised = [end for end in _in_order(attempt) if end.traceback]
    cause = Cause.EXCEPTION if raised else Cause.WORKER_DIED
    error = (_cause(raised).error if raised else None) or reason
    is_input_error = any(end.is_input_error for end in raised)
    return AttemptEnd(cause, None, text, error, is_input_error, machine, restarts_gang=True)


def lost(attempt: RunningAttempt, machine: Machine, error: str | None, *, is_node_lost: bool) -> AttemptEnd:
    """`fit()` ended under the attempt: a node is gone, or a worker or the controller died."""
    text = _tracebacks(attempt, error or "the workers returned in the middle of a trial")
    cause = Cause.NODE_LOST if is_node_lost else Cause.WORKER_DIED
    return AttemptEnd(cause, None, text, why(error or text), machine=machine, restarts_gang=True)


def why(report: str) -> str:
    """The one line of Train's report on its workers that says why they are gone.

    The sentence of Ray's memory monitor before all else, then how a process died, then what was raised.
    """
    lines = [line for line in report.splitlines() if line.strip() and not line.startswith(_HEADS)]
    said = next((line for sign in _SIGNS for line in lines if sign in line), None)
    if said is None:
        unindented = [line for line in lines if not line[0].isspace()] or lines or [report]
        said = unindented[-1] if "Traceback (most recent call last):" in report else unindented[0]
    return said.strip().partition(" Some common causes")[0][:MAX_SENTENCE]


def machine_of(fit: Fit, resources: Resources) -> Machine:
    """What an attempt's bits depend on beside its specification, as its workers said it."""
    hellos = [fit.hellos[rank] for rank in sorted(fit.hellos)]
    machine = Machine(num_workers=resources.num_workers, threads_per_worker=resources.threads_per_worker)
    if not hellos:
        return machine
    first = hellos[0]
    return replace(
        machine,
        torch=first.torch,
        cpu_capability=first.cpu_capability,
        device=first.device,
        hosts=tuple(hello.host_name for hello in hellos),
        cores=tuple(hello.cores for hello in hellos),
    )


def _in_order(attempt: RunningAttempt) -> list[WorkerEnd]:
    return [attempt.ends[rank] for rank in sorted(attempt.ends)]


def _of_all_workers(ends: list[End]) -> End | None:
    """The first worker's end with what all have read, the memory of that which took most, and times of the slowest.

    The slowest waited longest for its batches (rule PI1): in the collectives the others wait for that one, which looks
    like synchronization there.
    """
    if not ends:
        return None
    first, trainings = ends[0], [end.training for end in ends]
    peaks_bytes = [peak for training in trainings if (peak := training.peak_memory_bytes) is not None]
    slowest = max(trainings, key=lambda training: training.input_s)
    training = replace(
        first.training,
        time_by_part=slowest.time_by_part,
        stages=slowest.stages,
        peak_memory_bytes=max(peaks_bytes, default=None),
    )
    return replace(first, training=training, read=frozenset().union(*(end.read for end in ends)))


def _infeasible(attempt: RunningAttempt) -> End | None:
    """Of one worker, such as the one that ran out of memory."""
    ends = (each.end for each in _in_order(attempt))
    return next((end for end in ends if end is not None and end.outcome == Outcome.INFEASIBLE), None)


def _storage_failure(attempt: RunningAttempt) -> str | None:
    """Of one worker, whatever became of the others: no fault of the trial's."""
    return next((end.error for end in _in_order(attempt) if end.is_storage_failure), None)


def _tracebacks(attempt: RunningAttempt, last: str) -> str:
    return "\n".join([*_of_ranks(_in_order(attempt)), last])


def _of_ranks(ends: list[WorkerEnd]) -> list[str]:
    """Each worker's traceback, and whose it is."""
    return [f"rank {end.rank}:\n{end.traceback}" for end in ends if end.traceback]


def _cause(raised: list[WorkerEnd]) -> WorkerEnd:
    """The worker whose error is the reason of the others': they often fail in a collective that it has left."""
    return next((end for end in raised if end.is_input_error or not _is_left_alone(end)), raised[0])


def _is_left_alone(end: WorkerEnd) -> bool:
    return "/torch/distributed/" in (end.traceback or "") or "/raytune_playbook/train/group.py" in (end.traceback or "")
