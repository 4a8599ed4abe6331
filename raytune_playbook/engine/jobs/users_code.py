"""Running the user's code in the driver: whatever it raises becomes one sentence, with the line that it comes from."""

from __future__ import annotations

import contextlib
import sysconfig
import traceback
from collections.abc import Iterator

from raytune_playbook.errors import InputError


@contextlib.contextmanager
def users_code(rule: str, error_type: type[InputError]) -> Iterator[None]:
    """Within it the user's code runs.

    Args:
        rule: what it must do, and which code, such as ``"Workload.datasets must return the examples, but it"``.
        error_type: what is raised where it doesn't.

    Raises:
        InputError: one of ours that it raises, as it is; else one of ``error_type``.
    """
    try:
        yield
    except InputError:
        raise
    except SystemExit as error:
        code = "" if error.code is None else repr(error.code)
        raise error_type(
            f"{rule} ends the program with sys.exit({code}) ({_where(error)}); take that out, or put it under "
            "`if __name__ == '__main__':`."
        ) from error
    except Exception as error:
        raise error_type(
            f"{rule} raises {type(error).__name__}: {_words(error)} ({_where(error)}); correct it."
        ) from error


def _words(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(text.split())


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
