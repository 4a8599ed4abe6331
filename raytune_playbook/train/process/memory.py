"""A worker's memory during a trial: how much it takes at most (rule IN20), and what follows where that is too much.

Too much is the point's fault, and ends the trial instead of the worker.

On CPU `Resources.memory_per_worker_gib` is enforced by the kernel: an allocation beyond it fails, and raises. Ray
counts the same number when it places workers, so that this limit lies below the one at which Ray's monitor kills
processes, innocent ones first. A GPU's memory needs no limit of ours: torch raises.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from raytune_playbook.errors import Infeasible
from raytune_playbook.study.settings import GIB

_TORCH_CPU = "can't allocate memory"
"""What torch's CPU allocator says, in a plain RuntimeError."""


_PROCESS = Path("/proc/self")


class PeakMemory:
    """The most memory that this process has taken since this object was made.

    On a GPU what torch's allocator has given out there, of that device alone. On CPU what the process held in the
    machine's memory, as the kernel keeps it (VmHWM): libraries and shared examples included, which are the same for all
    trials, and nothing that earlier trials have freed. Not known where the kernel does not let it begin anew.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_known = True
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        with contextlib.suppress(AttributeError, OSError):  # where the C library is another, it has no such function
            ctypes.CDLL(None).malloc_trim(0)
        try:
            (_PROCESS / "clear_refs").write_text("5")
        except OSError:
            self._is_known = False

    def num_bytes(self) -> int | None:
        """The peak so far; None where it is not known."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if not self._is_known:
            return None
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None


@contextlib.contextmanager
def limited_memory(limit_gib: float | None) -> Iterator[None]:
    """Within it, what this process allocates may come to ``limit_gib`` together with what it holds already.

    None for no limit. What counts is private writable memory, mapped or touched (the kernel's RLIMIT_DATA): neither
    libraries nor the data that workers share.

    Raises:
        Infeasible: an allocation failed, on this limit, on the machine's memory, or on a GPU.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if limit_gib is not None:
        now = psutil.Process().memory_info()
        in_use = now.rss - now.shared  # what is of this process alone
        limit = now.data + max(0, int(limit_gib * GIB) - in_use)
        if before[1] != resource.RLIM_INFINITY:
            limit = min(limit, before[1])
        resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    except Exception as error:
        sentence = out_of_memory(error)
        if sentence is None:
            raise
        of = f" of {limit_gib:g} GiB (Resources.memory_per_worker_gib)" if limit_gib is not None else ""
        raise Infeasible(f"out of memory{of}: {sentence}") from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def out_of_memory(error: BaseException) -> str | None:
    """What an exception says about memory that could not be had; None when it is about something else."""
    said = str(error).strip().splitlines()
    if isinstance(error, torch.OutOfMemoryError):
        return said[0] if said else "on the GPU"
    if isinstance(error, MemoryError):
        return said[0] if said else "an object of Python's"
    if isinstance(error, RuntimeError) and _TORCH_CPU in str(error):
        return said[0][said[0].rfind(_TORCH_CPU) :] if _TORCH_CPU in said[0] else _TORCH_CPU
    return None
