"""The log files of a trial: one for each attempt and worker."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from raytune_playbook.engine.gang.messages import Assignment
from raytune_playbook.errors import StorageFailure
from raytune_playbook.records.retries import tried
from raytune_playbook.records.storage import Storage

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextlib.contextmanager
def captured_output(assignment: Assignment, rank: int) -> Iterator[None]:
    """Everything that the trial prints, from Python or below it, goes to its own log file."""
    storage = Storage(assignment.logs)
    name = f"{assignment.log_name}.rank{rank}.log"
    local = storage.local_path
    with tempfile.TemporaryDirectory() as folder:
        path = (local or Path(folder)) / name
        tried(lambda: path.parent.mkdir(parents=True, exist_ok=True))
        with tried(lambda: path.open("a", buffering=1)) as log:
            started_s = time.time()
            print(f"# trial {assignment.trial.key} of {assignment.trial.study}, rank {rank}, {time.ctime()}", file=log)
            with _file_descriptors(log.fileno()), contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
            print(f"# ended after {time.time() - started_s:.2f} s", file=log)
        if local is None:
            storage.write(name, path.read_bytes())


def storage_failure(error: BaseException | None, assignment: Assignment) -> str | None:
    """A sentence where an error says that the round's storage takes no more, and not that the trial is wrong.

    A trial that prints meets a full disk in its log, as may any code of a workload's.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    if (failure := next((each for each in seen if isinstance(each, StorageFailure)), None)) is not None:
        return str(failure)
    if not assignment.keeps_checkpoints or not any(isinstance(e, OSError) and e.errno in NO_ROOM for e in seen):
        return None
    storage, probe = Storage(assignment.logs), f"{assignment.log_name}.probe"
    try:
        storage.write(probe, b"probe")
        storage.delete(probe)
    except StorageFailure as told:
        return str(told)
    return None


@contextlib.contextmanager
def _file_descriptors(target: int) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        yield
    finally:
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)
