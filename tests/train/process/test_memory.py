"""A limit to a process's own memory, and errors that are about memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raytune_playbook.errors import Infeasible
from raytune_playbook.train.process.memory import limited_memory

GIB = 2**30


def too_much_of(kind: str) -> object:
    match kind:
        case "tensor":
            return torch.ones(GIB // 4)
        case "array":
            return np.ones(GIB // 8)
        case "bytes":
            return bytearray(GIB)
        case _:
            return [torch.ones(2**20) for _ in range(256)]


@pytest.mark.parametrize("kind", ["tensor", "array", "bytes", "many"])
def test_an_allocation_beyond_the_limit_is_infeasible_and_the_limit_ends_with_the_trial(kind):
    reason = r"^out of memory of 0.5 GiB \(Resources.memory_per_worker_gib\): "
    with pytest.raises(Infeasible, match=reason), limited_memory(0.5):
        too_much_of(kind)
    assert too_much_of(kind) is not None
    with limited_memory(None):
        assert too_much_of(kind) is not None


def test_what_is_not_about_memory_passes_through():
    with pytest.raises(RuntimeError, match=r"^something else$"), limited_memory(0.5):
        raise RuntimeError("something else")


def test_a_gpus_memory_counts_too():
    """The error that CUDA's allocator raises; it can be made without a device."""
    with pytest.raises(Infeasible, match=r"^out of memory: CUDA out of memory"), limited_memory(None):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
