"""A worker between two trials (DESIGN decision 7)."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from raytune_playbook.train.process.reset import MAX_LEFT_TENSORS_MIB, MAX_LEFT_THREADS, LeakCheck, footprint, reset


def state() -> dict[str, object]:
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "precision": torch.get_float32_matmul_precision(),
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn": torch.backends.cudnn.deterministic,
        "torch": torch.rand(3).tolist(),
        "numpy": np.random.rand(3).tolist(),
        "python": [random.random() for _ in range(3)],
    }


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
    yield
    reset(1)
    torch.use_deterministic_algorithms(before[0])
    torch.backends.cudnn.deterministic = before[1]


@pytest.mark.usefixtures("_as_before")
def test_everything_that_a_trial_may_have_changed_is_put_back():
    reset(1)
    start = state()
    assert start["dtype"] is torch.float32
    assert start["threads"] == 1
    assert start["gradients"]
    assert start["deterministic"]
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.autograd.set_detect_anomaly(True)
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = False
    torch.manual_seed(9)
    np.random.seed(9)
    random.seed(9)
    reset(1)
    assert state() == start
    reset(2)
    assert torch.get_num_threads() == 2


@pytest.fixture
def leaks() -> Iterator[LeakCheck]:
    yield LeakCheck()
    gc.unfreeze()


def test_nothing_left_is_no_leak(leaks):
    before = footprint()
    for _ in range(5):
        torch.zeros(2**20)
        assert leaks.leak() is None
    assert footprint().num_threads == before.num_threads


def test_tensors_that_outlive_their_trial_are_reported_until_they_are_gone(leaks):
    kept = [torch.zeros(int(MAX_LEFT_TENSORS_MIB) * 2**18 + 2**18)]  # float32: 4 bytes each, 1 MiB too many
    assert leaks.leak() == f"{MAX_LEFT_TENSORS_MIB + 1:.0f} MiB of tensors outlived their trials"
    kept.clear()
    assert leaks.leak() is None


def test_a_compilers_tensors_without_memory_are_no_leak(leaks):
    with FakeTensorMode():
        kept = torch.empty(2**40)
    assert leaks.leak() is None
    assert kept.shape == (2**40,)


def test_tensors_that_were_there_before_are_no_trials_doing():
    kept = torch.zeros(int(MAX_LEFT_TENSORS_MIB) * 2**18 * 2)
    try:
        assert LeakCheck().leak() is None
    finally:
        gc.unfreeze()
    assert kept.numel()


def test_threads_that_outlive_their_trial_are_reported(leaks):
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(MAX_LEFT_THREADS + 1)]
    for thread in threads:
        thread.start()
    try:
        assert leaks.leak() == f"{MAX_LEFT_THREADS + 1} threads outlived their trials"
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert leaks.leak() is None
