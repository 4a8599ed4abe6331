"""What the user's code raises is a sentence, and what ends the program from outside is none."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from raytune_playbook.engine.cluster.termination import termination_raises
from raytune_playbook.engine.jobs.users_code import users_code
from raytune_playbook.errors import JobFileError


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Every test leaves the signals as they were."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with termination_raises():  # forgets an earlier SIGTERM
        pass


def interrupts() -> None:
    raise KeyboardInterrupt


def test_code_that_interrupts_itself_is_refused():
    refused = pytest.raises(JobFileError, match=r"^The code raises KeyboardInterrupt \(.*_code\.py, line \d+\)")
    with refused, users_code("The code", JobFileError):
        interrupts()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_pass(number):
    with termination_raises(), pytest.raises(KeyboardInterrupt), users_code("The code", JobFileError):
        signal.raise_signal(number)


def test_a_sigterm_that_exits_as_rays_own_handler_does_passes():
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with pytest.raises(SystemExit), users_code("The code", JobFileError):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_in_a_handler_of_the_callers_reaches_it(monkeypatch):
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(1))
    try:
        with users_code("The code", JobFileError):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [1]


def test_it_works_in_a_thread():
    raised = []

    def run() -> None:
        try:
            with users_code("The code", JobFileError):
                interrupts()
        except JobFileError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(raised) == 1
