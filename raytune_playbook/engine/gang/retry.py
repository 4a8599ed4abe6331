"""The retry rule: which attempts are followed by another (DESIGN decision 2); a pure function."""

from __future__ import annotations

from raytune_playbook.engine.gang.messages import Cause

MAX_COUNTED_ATTEMPTS = 2
"""Attempts in a row that end in a dead worker or an exception, and come no further, before a trial has failed."""

COUNTED = (Cause.EXCEPTION, Cause.WORKER_DIED)


def is_counted(cause: Cause) -> bool:
    """Whether an attempt that ended so is one of the `MAX_COUNTED_ATTEMPTS`."""
    return cause in COUNTED


def is_retried(cause: Cause, *, num_counted: int, is_check: bool) -> bool:
    """Whether an attempt that ended so is followed by another of its trial.

    A lost node is no fault of the trial's, and as often as it happens not counted. A dead worker or an exception is
    counted. In the check before trial 0 an exception is the code's, which is what the check is for, and ends it at
    once. What has completed, is infeasible or was stopped is not retried, nor
    is what the storage took no more of, or whose examples are gone, with which the round ends.

    Args:
        num_counted: attempts in a row that ended in a way that counts, this one included, none of which came further
            than the one before.
        is_check: it is the check before trial 0.
    """
    if cause is Cause.NODE_LOST:
        return True
    if is_check and cause is Cause.EXCEPTION:
        return False
    return is_counted(cause) and num_counted < MAX_COUNTED_ATTEMPTS
