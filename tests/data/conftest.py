"""What the tests of prefetching have in common."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest


def prefetchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    assert prefetchers() == []
