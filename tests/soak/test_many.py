"""Many trials and many gangs: nothing is lost, and nothing grows without end; the README here has the figures."""

from __future__ import annotations

import pytest

from tests.soak import gangs, many

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

MOST_MB = {"worker": 5.0, "host": 5.0, "controller": 6.0, "pool": 15.0, "driver": 120.0}
"""What a process of ours may gain in 1,000 trials; in the driver Ray Tune keeps each one."""


def is_no_growth(line: dict[str, float]) -> bool:
    """Whether a line through times gains no more per 1,000 than its own error, and a tenth of its height, allow."""
    return line["per_1000"] < 4 * line["error"] + line["mean"] / 10


def test_a_thousand_trials_on_gangs_that_start_once():
    found = many.measured_round(1000)
    assert (found["trials"], found["completed"], found["attempts"], found["gang_starts"]) == (1000, 1000, 1000, [1, 1])
    assert is_no_growth(found["trial_s"]), found["trial_s"]
    gained = {role: growth["per_1000"] for role, growth in found["memory_mb"].items()}
    assert all(gained[role] < most_mb for role, most_mb in MOST_MB.items()), gained


def test_ten_thousand_trials_on_records_alone():
    found = many.measured_records(10_000)
    assert is_no_growth(found["trial_s"]), found["trial_s"]
    assert found["page_mb"] > 0


def test_two_hundred_gangs():
    found = gangs.measured(num_gangs=200, num_trials=600, trial_s=60.0)
    assert found["completed"] == 600
