"""What the processes of a round take over time: memory and CPU seconds of the driver, the pool and the gangs."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import psutil

ROLES = {
    "pool": "Pool",
    "host": "ray::Host",
    "controller": "ray::TrainController",
    "worker": "ray::RayTrainWorker",
    "lease": "ray::ResourceTrainable",
    "gcs": "gcs/gcs_server",
    "raylet": "raylet/raylet ",
}
"""What the command line of a role's processes begins with, or holds; the driver is this process."""


def by_role() -> dict[str, list[psutil.Process]]:
    """This process and its descendants, among which a cluster of its own is."""
    found: dict[str, list[psutil.Process]] = {"driver": [psutil.Process()]}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            for role, title in ROLES.items():
                if title in line:
                    found.setdefault(role, []).append(process)
    return found


def unique_mb(process: psutil.Process) -> float:
    """Memory that would be free if the process ended."""
    return float(process.memory_full_info().uss) / 1e6


def cpu_s(process: psutil.Process) -> float:
    """Seconds that all of its threads have computed."""
    times = process.cpu_times()
    return float(times.user + times.system)


def of_each(measure: Callable[[psutil.Process], float]) -> dict[tuple[str, int], float]:
    """Memory, or what was computed, by role and process id."""
    found = {}
    for role, processes in by_role().items():
        for process in processes:
            with contextlib.suppress(psutil.Error):  # it has just ended
                found[role, process.pid] = measure(process)
    return found


@dataclass(frozen=True)
class Sample:
    """Fields:
    at_s: seconds of a steady clock.
    num_done: trials that have ended.
    of: memory or CPU seconds by role and process id.
    """

    at_s: float
    num_done: int
    of: Mapping[tuple[str, int], float]

    def mean(self, role: str) -> float:
        """Over the processes of a role."""
        return fmean(value for (of, _), value in self.of.items() if of == role)

    @property
    def roles(self) -> set[str]:
        return {role for role, _ in self.of}


def since(first: Sample, last: Sample) -> dict[str, float]:
    """By role, what the processes that were there at both times have gained together."""
    gained: dict[str, float] = {}
    for (role, process_id), value in last.of.items():
        if (role, process_id) in first.of:
            gained[role] = gained.get(role, 0.0) + value - first.of[role, process_id]
    return gained


@contextlib.contextmanager
def sampled(status: Path, measure: Callable[[psutil.Process], float], every_s: float) -> Iterator[list[Sample]]:
    """Within it a sample is taken again and again, whenever more trials have ended.

    Args:
        status: the round's ``status.json``, which says how many have.
    """
    samples: list[Sample] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(every_s):
            with contextlib.suppress(OSError, ValueError):
                num_done = json.loads(status.read_text())["num_done"]
                if not samples or num_done != samples[-1].num_done:
                    samples.append(Sample(time.monotonic(), num_done, of_each(measure)))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
