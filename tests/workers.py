"""Worker processes of tests, each a fork of one process that has torch loaded: it costs no import.

They meet over gloo (or nccl), as the workers of a gang do, and each returns what it found.
"""

from __future__ import annotations

import functools
import multiprocessing as mp
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import cloudpickle
import torch
import torch.distributed as dist

from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.train.group import Group

TIMEOUT_S = 280.0
LOADED = ["pytest", "cloudpickle", "torch._dynamo", "torch.distributed", "sklearn.metrics"]
LOADED += ["raytune_playbook.data.batches", "raytune_playbook.train.loop", "raytune_playbook.workloads.text"]
"""What the process that is forked has imported, and with it all that these import."""


@dataclass
class Running:
    """Workers of one group, in the order of their ranks."""

    processes: list[BaseProcess]
    folder: Path

    def found(self, *, exit_code: int = 0, timeout_s: float = TIMEOUT_S) -> list[Any]:
        """Wait for their end; what each found, or None of one that was killed.

        Args:
            exit_code: how each is expected to end; minus a signal's number where one kills it.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            for rank, process in enumerate(self.processes):
                process.join(max(0.0, deadline_s - time.monotonic()))
                assert process.exitcode == exit_code, f"rank {rank}: {_text(self.folder / f'{rank}.log')}"
        finally:
            for process in self.processes:
                process.kill()
                process.join()
        return [
            torch.load(self.folder / f"{rank}.pt", weights_only=False) if exit_code == 0 else None
            for rank in range(len(self.processes))
        ]


class Workers:
    """Starts groups of workers; groups that are started one after another run at the same time.

    Args:
        folder: for their logs, and for what they find.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._num_groups = 0
        self._context = mp.get_context("forkserver")
        self._context.set_forkserver_preload(LOADED)

    def start(self, work: Callable[..., object], size: int, *args: object, backend: str = "gloo") -> Running:
        """Start ``size`` processes, each of which calls ``work(group, *args)``.

        Args:
            work: a function of a test's module, of which it takes along what it refers to.
        """
        folder = self._folder / str(self._num_groups)
        folder.mkdir()
        self._num_groups += 1
        processes = []
        with mock.patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):  # of the process that is forked
            for rank in range(size):
                task = _ByValue(functools.partial(_work, work, args, rank, size, folder, backend), work.__module__)
                process = self._context.Process(target=task, daemon=True)
                process.start()
                processes.append(process)
        return Running(processes, folder)


class Notes:
    """A watcher of a trial that remembers all it was told, and wishes to stop once a step was begun."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.reports: list[list[dict[str, Any]]] = []
        self.steps: list[int] = []
        self._stop_at = stop_at

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for report in self.reports for row in report]

    @property
    def timeless_rows(self) -> list[dict[str, Any]]:
        """Without what differs from run to run."""
        return [{name: value for name, value in row.items() if name not in TIME_COLUMNS} for row in self.rows]

    def of(self, *splits: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["split"] in splits]

    def new_measurements(self, rows: list[Any]) -> None:
        self.reports.append([dict(row) for row in rows])

    def stepped(self, step: int) -> None:
        self.steps.append(step)

    def evaluated(self) -> None:
        pass

    def wants_stop(self) -> bool:
        return self._stop_at is not None and bool(self.steps) and self.steps[-1] >= self._stop_at


def found_by(running: Mapping[int, Running], *, exit_code: int = 0) -> dict[int, list[Any]]:
    """What each worker of several groups found, by the group's size and the worker's rank."""
    try:
        return {size: group.found(exit_code=exit_code) for size, group in running.items()}
    finally:
        for group in running.values():
            for process in group.processes:
                process.kill()


class _ByValue:
    """A function that unpickles where the module of its test, and this one, cannot be imported."""

    def __init__(self, function: Callable[[], None], module: str) -> None:
        modules = [sys.modules[name] for name in (module, __name__)]
        for each in modules:
            cloudpickle.register_pickle_by_value(each)
        try:
            self._content = cloudpickle.dumps(function)
        finally:
            for each in modules:
                cloudpickle.unregister_pickle_by_value(each)

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return cloudpickle.loads, (self._content,)


def _work(
    work: Callable[..., object], args: tuple[object, ...], rank: int, size: int, folder: Path, backend: str
) -> None:
    with (folder / f"{rank}.log").open("w", buffering=1) as log, redirect_stdout(log), redirect_stderr(log):
        try:
            torch.set_num_threads(1)
            device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
            if backend == "nccl":
                torch.cuda.set_device(device)
            group = Group(device=device)
            if size > 1:
                dist.init_process_group(backend, init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
                group = Group(rank, size, device, dist.group.WORLD)
            torch.save(work(group, *args), folder / f"{rank}.pt")
            if size > 1:
                dist.barrier()
                dist.destroy_process_group()
        except BaseException:  # noqa: BLE001 - whatever ends a worker is told by its log, and by its exit code
            traceback.print_exc()
            log.flush()
            os._exit(1)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else "it left no log"


KILLED = -signal.SIGKILL
