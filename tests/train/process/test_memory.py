"""A limit to a process's own memory, errors that are about memory, and the most that was taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raytune_playbook.errors import Infeasible
from raytune_playbook.study.settings import GIB
from raytune_playbook.train.process import memory
from raytune_playbook.train.process.memory import PeakMemory, limited_memory


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


MIB = 2**20


def test_in20_the_peak_is_that_since_the_trial_began_and_not_what_an_earlier_one_took():
    """Each difference is between two moments with one allocation between them: what else a process holds comes and goes
    (the kernel takes back what it can read again from a file), and its count is right to some pages for each CPU."""
    first = PeakMemory(torch.device("cpu"))
    before = first.num_bytes() or pytest.skip("this kernel does not tell it")
    taken = [torch.ones(2**16) for _ in range(800)]  # 200 MiB in pieces that the C library keeps when they are freed
    at_most = first.num_bytes()
    assert at_most - before > 190 * MIB
    del taken[1:]
    assert first.num_bytes() > at_most - MIB
    second = PeakMemory(torch.device("cpu"))
    anew = second.num_bytes()
    assert at_most - anew > 100 * MIB
    taken += [np.ones(10 * MIB)]  # 80 MiB
    at_most = second.num_bytes()
    del taken
    assert second.num_bytes() > at_most - MIB
    assert 70 * MIB < at_most - anew < 110 * MIB


def test_a_peak_that_the_kernel_does_not_begin_anew_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "no" / "such")
    assert PeakMemory(torch.device("cpu")).num_bytes() is None


def test_a_trial_says_what_it_took(make_trial, run_alone, small):
    end, _ = run_alone(small, make_trial())
    taken = PeakMemory(torch.device("cpu")).num_bytes()
    assert taken is None or 0.5 * taken < end.training.peak_memory_bytes < 2 * taken + 64 * MIB
