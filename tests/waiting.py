"""Waiting in tests, with a deadline that no machine comes near."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def wait_for(condition: Callable[[], object], timeout_s: float = 240, every_s: float = 0.05) -> None:
    """Return as soon as ``condition()`` is true; the test fails where that takes longer than ``timeout_s``."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"waited {timeout_s:g} s in vain")
        time.sleep(every_s)
