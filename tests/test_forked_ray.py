"""Workers that are forks are as separate as those that Ray starts itself."""

from __future__ import annotations

import os
import sys

import numpy as np
import ray


def test_forks_share_no_random_numbers_and_have_their_own_environment(cluster):
    @ray.remote(num_cpus=0)
    class Worker:
        def drawn(self) -> tuple[str, float]:
            return ray.WorkerID.from_random().hex(), np.random.random()

        def has_torch(self) -> bool:
            return "torch" in sys.modules

        def variable(self) -> str:
            return os.environ["OF_THE_WORKER"]

    environments = [{"OF_THE_WORKER": name} for name in ("one", "two")]
    libraries = {"OF_THE_WORKER": "three", "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
    workers = [Worker.options(runtime_env={"env_vars": each}).remote() for each in (*environments, libraries)]
    assert ray.get([each.variable.remote() for each in workers]) == ["one", "two", "three"]
    assert ray.get([each.has_torch.remote() for each in workers]) == [True, True, False]  # the last was no fork
    for numbers in zip(*ray.get([each.drawn.remote() for each in workers]), strict=True):
        assert len(set(numbers)) == 3
    for each in workers:
        ray.kill(each)
