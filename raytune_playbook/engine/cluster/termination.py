"""SIGTERM, with which clusters end what runs: a job is cancelled, a pod evicted, a machine taken back.

Minutes may not be left then as after Ctrl-C, so that nothing is waited for: trials are cut off where they are, what was
recorded is closed, and the round goes on from its checkpoints when it is run again.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM

_came = threading.Event()


def has_come() -> bool:
    """Whether a `KeyboardInterrupt` of this process was a SIGTERM."""
    return _came.is_set()


@contextlib.contextmanager
def termination_raises() -> Iterator[None]:
    """Within it SIGTERM raises `KeyboardInterrupt`, the one exception that Ray passes on while it waits.

    Ray's own handler, in place since `ray.init`, raises `SystemExit`, of which Ray makes an abort. Signals are the main
    thread's; in another nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _came.clear()
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if not (before is _interrupt and _came.is_set()):  # whatever closes after this is not to be cut off either
            signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what closes the records is not to be cut off as well
    _came.set()
    raise KeyboardInterrupt
