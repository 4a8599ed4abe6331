"""The retry rule, cause by cause; without a cluster."""

from __future__ import annotations

import pytest

from raytune_playbook.engine.gang.messages import Cause
from raytune_playbook.engine.gang.retry import is_counted, is_retried

COMPLETED, INFEASIBLE, STOPPED, EXCEPTION, DIED, LOST, STORAGE, NO_EXAMPLES = Cause


def num_attempts(causes: list[Cause], *, is_check: bool) -> int:
    """How many attempts a trial has that would end in these ways, one after another."""
    num_counted = 0
    for number, cause in enumerate(causes, start=1):
        num_counted += is_counted(cause)
        if not is_retried(cause, num_counted=num_counted, is_check=is_check):
            return number
    raise AssertionError("more attempts than causes")


@pytest.mark.parametrize(
    ("causes", "of_a_trial", "of_a_check"),
    [
        ([COMPLETED], 1, 1),
        ([INFEASIBLE], 1, 1),  # never retried
        ([STOPPED], 1, 1),  # left for resume
        ([EXCEPTION, EXCEPTION, EXCEPTION], 2, 1),  # a check's is its code's, which is what it is for
        ([EXCEPTION, COMPLETED], 2, 1),
        ([DIED, DIED, DIED], 2, 2),
        ([DIED, COMPLETED], 2, 2),
        ([DIED, EXCEPTION, DIED], 2, 2),
        ([EXCEPTION, DIED, DIED], 2, 1),
        ([*[LOST] * 50, COMPLETED], 51, 51),  # not counted
        ([LOST, EXCEPTION, LOST, DIED, DIED], 4, 2),
        ([DIED, LOST, INFEASIBLE], 3, 3),
        ([DIED, STORAGE], 2, 2),  # the round ends, and goes on when there is room
    ],
)
def test_how_many_attempts_a_trial_has(causes, of_a_trial, of_a_check):
    assert num_attempts(causes, is_check=False) == of_a_trial
    assert num_attempts(causes, is_check=True) == of_a_check


def test_every_cause_has_a_place_in_the_rule():
    """A new cause must be given one here: (counted, retried at first)."""
    assert {cause: (is_counted(cause), is_retried(cause, num_counted=1, is_check=False)) for cause in Cause} == {
        COMPLETED: (False, False),
        INFEASIBLE: (False, False),
        STOPPED: (False, False),
        EXCEPTION: (True, True),
        DIED: (True, True),
        LOST: (False, True),
        STORAGE: (False, False),
        NO_EXAMPLES: (False, False),
    }
