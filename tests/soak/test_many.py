"""Many trials and many gangs: nothing is lost, and nothing grows without end; the README here has the figures."""

from __future__ import annotations

import pytest

from tests.soak import gangs, many

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

MOST_MB = 50.0
"""What a process may gain in 1,000 trials; a trial's tables kept by mistake would be more."""


def test_a_thousand_trials_on_gangs_that_start_once():
    found = many.measured_round(1000)
    assert (found["trials"], found["completed"], found["attempts"], found["gang_starts"]) == (1000, 1000, 1000, [1, 1])
    gained = {role: growth["per_1000"] for role, growth in found["memory_mb"].items()}
    assert {"driver", "pool", "host", "worker"} <= gained.keys()
    assert max(gained.values()) < MOST_MB, gained


def test_ten_thousand_trials_on_records_alone():
    assert many.measured_records(10_000)["page_mb"] > 0  # what was written is looked at as it is written


def test_two_hundred_gangs():
    found = gangs.measured(num_gangs=200, num_trials=600, trial_s=60.0)
    assert found["completed"] == 600
