"""Running the user's code in the driver: whatever it raises becomes one sentence, with the line that it comes from."""

from __future__ import annotations

import contextlib
import signal
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from types import FrameType

from raytune_playbook.errors import InputError


@contextlib.contextmanager
def users_code(rule: str, error_type: type[InputError]) -> Iterator[None]:
    """Within it the user's code runs; Ctrl-C and SIGTERM end it as they end everything.

    Args:
        rule: what it must do, and which code, such as ``"Workload.datasets must return the examples, but it"``.
        error_type: what is raised where it doesn't.

    Raises:
        InputError: one of ours that it raises, as it is; else one of ``error_type``.
    """
    ended = threading.Event()
    try:
        with _noting_signals(ended):
            yield
    except InputError:
        raise
    except BaseException as error:
        if ended.is_set() and not isinstance(error, Exception):
            raise
        if isinstance(error, SystemExit):
            code = "" if error.code is None else repr(error.code)
            raise error_type(
                f"{rule} ends the program with sys.exit({code}) ({_where(error)}); take that out, or put it under "
                "`if __name__ == '__main__':`."
            ) from error
        raise error_type(f"{rule} raises {_said(error)} ({_where(error)}); correct it.") from error


@contextlib.contextmanager
def _noting_signals(ended: threading.Event) -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM are told from what code raises by itself.

    Signals are the main thread's, and those who ignore one, or let the system end them by it, go on to.
    """
    with contextlib.ExitStack() as noting:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                noting.enter_context(_noting(number, ended))
        yield


@contextlib.contextmanager
def _noting(number: signal.Signals, ended: threading.Event) -> Iterator[None]:
    before = signal.getsignal(number)
    if not callable(before):
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        ended.set()
        before(number, frame)

    signal.signal(number, note)
    try:
        yield
    finally:
        if signal.getsignal(number) is note:  # else the user's code, or what was before, has set another
            signal.signal(number, before)


def _said(error: BaseException) -> str:
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception as failure:  # noqa: BLE001 - the user's, too
        text = f"its text cannot be had, for that raises {type(failure).__name__}"
    return ": ".join([type(error).__name__, *([" ".join(text.split())] if text else [])])


def _where(error: BaseException) -> str:
    """The line of the user's own code that the error comes through last."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is `users_code`'s
    own = [frame for frame in frames if not _is_installed(frame.filename)] or frames
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else "no line of it is known"


def _is_installed(file: str) -> bool:
    library = sysconfig.get_path("stdlib")
    return file.startswith((library, "<frozen")) or "site-packages" in file
