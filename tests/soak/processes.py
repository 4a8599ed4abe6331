"""What the processes of a round take over time: memory and CPU seconds of the driver, the pool and the gangs."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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


def totals(measure: Callable[[psutil.Process], float]) -> dict[str, float]:
    """By role, the mean over its processes of memory, or the sum of what they computed."""
    found = {}
    for role, processes in by_role().items():
        values = []
        for process in processes:
            with contextlib.suppress(psutil.Error):
                values.append(measure(process))
        if values:
            found[role] = sum(values) / (len(values) if measure is unique_mb else 1)
    return found


@dataclass(frozen=True)
class Sample:
    """Fields:
    at_s: seconds of a steady clock.
    num_done: trials that have ended.
    of: memory or CPU seconds by role.
    """

    at_s: float
    num_done: int
    of: Mapping[str, float]


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
                    samples.append(Sample(time.monotonic(), num_done, totals(measure)))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
