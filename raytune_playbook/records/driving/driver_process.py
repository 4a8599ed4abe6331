"""Which process on which machine runs a round, and whether it still does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

from raytune_playbook.study.frozen import FrozenSpec


class DriverProcess(FrozenSpec):
    """A process, told apart from all others that were or will be, by nothing that a clock says.

    Fields:
        host: for people; two machines, or two containers, may have the same.
        machine: since its last start, and which of its containers; processes see each other where it is the same.
        process_start: when the process started, so that another that got its number is not taken for it.
    """

    host: str
    machine: str
    process_id: int
    process_start: str

    def __str__(self) -> str:
        return f"{self.host}:{self.process_id}"

    def is_here(self) -> bool:
        """Whether it runs, or ran, where this process could see it."""
        return self.machine == _machine()

    def is_alive(self) -> bool:
        """Whether it runs; only to be asked where it `is_here`."""
        return _process_start(self.process_id) == self.process_start


def this_process() -> DriverProcess:
    """The process that calls."""
    process_id = os.getpid()
    return DriverProcess(
        host=socket.gethostname(),
        machine=_machine(),
        process_id=process_id,
        process_start=_process_start(process_id) or "",
    )


def _machine() -> str:
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    if boot_id.exists():
        return f"{boot_id.read_text().strip()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return socket.gethostname()


def _process_start(process_id: int) -> str | None:
    """When a process started, in whichever unit; None where there is none, or one that was killed and not reaped."""
    stat = Path(f"/proc/{process_id}/stat")
    try:
        if stat.parent.parent.joinpath("self").exists():
            state, *fields = stat.read_text().rpartition(") ")[2].split()
            return None if state in "ZX" else fields[18]  # ticks since the machine started: no clock's jump moves them
        process = psutil.Process(process_id)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except (OSError, psutil.Error):
        return None
