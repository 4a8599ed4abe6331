"""A worker between two trials: everything that a trial may have changed is put back, and leaks are looked for.

Without this a trial's bits would depend on which trials its gang ran before (DESIGN decision 7).
"""

from __future__ import annotations

import gc
import random
import sys
import threading
from dataclasses import dataclass

import numpy as np
import psutil
import torch

MAX_LEFT_TENSORS_MIB = 64.0
MAX_LEFT_THREADS = 16
MAX_GROWTH_MIB = 1024.0
SETTLED_AFTER_TRIALS = 3
"""Allocators and kernel caches fill during the first trials; growth is judged from here on."""


def reset(num_threads: int) -> None:
    """Put the process-wide state of torch, numpy and Python back to what every trial starts from."""
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_num_threads(num_threads)
    torch.set_grad_enabled(True)
    torch.autograd.set_detect_anomaly(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # costs time
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.clear_autocast_cache()
    if "torch._dynamo" in sys.modules:  # only where something was compiled: to import it takes seconds
        torch.compiler.reset()
    # The trial seeds what it uses; this is for code that draws without a seed, which is then at least the same each
    # time.
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Footprint:
    """What a worker holds between trials."""

    tensors_mib: float
    num_threads: int
    memory_mib: float


def footprint() -> Footprint:
    """Measure this process; call after `reset`. Objects that were frozen at the start are not counted."""
    # Not of subclasses: those that compilation leaves behind have symbolic sizes, and no memory.
    tensors = (o for o in gc.get_objects() if type(o) in (torch.Tensor, torch.nn.Parameter))
    return Footprint(
        tensors_mib=sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20,
        num_threads=threading.active_count(),
        memory_mib=psutil.Process().memory_info().rss / 2**20,
    )


class LeakCheck:
    """Compares a worker's footprint after each trial with the one that it had at the start."""

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()  # what is there now is no trial's doing, and need not be looked at again
        self._start = footprint()
        self._settled: Footprint | None = None
        self._num_trials = 0

    def leak(self) -> str | None:
        """A sentence about what the last trials left behind, or None while it is within limits."""
        self._num_trials += 1
        now = footprint()
        if self._num_trials == SETTLED_AFTER_TRIALS:
            self._settled = now
        if now.tensors_mib - self._start.tensors_mib > MAX_LEFT_TENSORS_MIB:
            return f"{now.tensors_mib:.0f} MiB of tensors outlived their trials"
        if now.num_threads - self._start.num_threads > MAX_LEFT_THREADS:
            return f"{now.num_threads - self._start.num_threads} threads outlived their trials"
        if self._settled and now.memory_mib - self._settled.memory_mib > MAX_GROWTH_MIB:
            growth = now.memory_mib - self._settled.memory_mib
            return f"memory grew by {growth:.0f} MiB over {self._num_trials - SETTLED_AFTER_TRIALS} trials"
        return None
