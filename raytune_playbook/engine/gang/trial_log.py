"""The log files of a trial: one for each attempt and worker."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from raytune_playbook.engine.gang.messages import Assignment
from raytune_playbook.records.store import Storage


@contextlib.contextmanager
def captured_output(assignment: Assignment, rank: int) -> Iterator[None]:
    """Everything that the trial prints, from Python or below it, goes to its own log file."""
    storage = Storage(assignment.logs)
    name = f"{assignment.log_name}.rank{rank}.log"
    local = storage.local_path
    with tempfile.TemporaryDirectory() as folder:
        path = (local or Path(folder)) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", buffering=1) as log:
            started_s = time.time()
            print(f"# trial {assignment.trial.key} of {assignment.trial.study}, rank {rank}, {time.ctime()}", file=log)
            with _file_descriptors(log.fileno()), contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
            print(f"# ended after {time.time() - started_s:.2f} s", file=log)
        if local is None:
            storage.write(name, path.read_bytes())


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
