"""Whether a round's driver still runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from raytune_playbook.engine.jobs.preflight import DRIVER_LOST_S, is_live
from raytune_playbook.records.types import RoundState, RoundStatus

HERE, THERE = socket.gethostname(), "another-host.example"


def status(driver: str, *, silent_s: float = 0.0, state: RoundState = RoundState.RUNNING) -> RoundStatus:
    return RoundStatus(state=state, driver=driver, seen_at_s=time.time() - silent_s, num_done=0, num_trials=2)


@pytest.fixture(scope="module")
def ended_process_id() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize("host", [HERE, THERE])
def test_a_driver_that_was_heard_of_lately_runs_and_one_that_has_been_silent_does_not(host):
    driver = f"{host}:{os.getpid()}"
    assert is_live(status(driver))
    assert is_live(status(driver, silent_s=DRIVER_LOST_S - 10))
    assert not is_live(status(driver, silent_s=DRIVER_LOST_S + 0.1))


def test_a_killed_driver_on_this_machine_is_known_at_once_and_elsewhere_when_it_is_silent(ended_process_id):
    assert not is_live(status(f"{HERE}:{ended_process_id}"))
    assert is_live(status(f"{THERE}:{ended_process_id}"))


@pytest.mark.parametrize("state", [state for state in RoundState if state is not RoundState.RUNNING])
def test_a_round_that_has_ended_has_no_driver(state):
    assert not is_live(status(f"{HERE}:{os.getpid()}", state=state))
