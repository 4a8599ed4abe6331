"""A storage that not all hosts reach: refused before anything is written, and later a clear stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.multihost.conftest import PORT, folder_of_its_own, seen_by
from tests.multihost.test_two_hosts import Ended, spec
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(600)

JOB = """
import numpy as np
from torch import nn
from raytune_playbook import Budget, Float, Objective, Resources, Round, Workload

class Line(Workload):
    def datasets(self):
        x = np.linspace(-1, 1, 64, dtype=np.float32)
        return {"train": {"x": x, "y": 2 * x}, "validation": {"x": x, "y": 2 * x}}
    def model(self, values):
        return nn.Linear(1, 1)
    def loss(self, model, batch, values):
        return (model(batch["x"][:, None])[:, 0] - batch["y"]).square()

round = Round(
    name="line", goal="Does every host reach the storage?", workload=Line(),
    nuisance={"learning_rate": Float(0.01, 0.1, scale="log")}, objective=Objective(metric="loss"),
    budget=Budget(num_trials=2, max_train_steps=4, evaluation_interval_steps=2),
    resources=Resources(num_workers=1, cpus_per_worker=1, node_labels={"pool": "gangs"}),
)
"""


def test_a_storage_that_not_all_hosts_reach_is_refused_before_anything_is_written(hosts, tmp_path):
    job, storage = tmp_path / "line.py", tmp_path / "rounds"
    job.write_text(JOB)
    storage.mkdir()
    command = [sys.executable, "-m", "raytune_playbook", "run", str(job), "--storage", str(storage)]
    at = ["--address", f"{hosts.head.address}:{PORT}"]
    with folder_of_its_own(hosts.two, storage):
        done = subprocess.run(
            hosts.head.command(*command, *at), env=hosts.environment, capture_output=True, text=True, check=False
        )
        assert seen_by(hosts.two, storage) == []
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"two does not reach '{storage}/line' (what the driver wrote is not to be seen there); name a" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(storage.iterdir()) == []


@pytest.mark.soak
def test_a_host_that_loses_the_storage_ends_the_round_which_then_goes_on(hosts, tmp_path):
    """Its new workers look at the storage anew, as those of a host do that is added."""
    storage, hold = tmp_path / "rounds", tmp_path / "hold"
    storage.mkdir()
    hold.touch()
    ended = Ended(storage)
    held = spec(arms=("device",), hold=str(hold), placement="spread")
    with hosts.running(storage, held):
        wait_for(lambda: len(ended.printed("mask", 0)) == 3)
        with folder_of_its_own(hosts.two, storage):
            os.kill(hosts.one.workers()[0], signal.SIGKILL)
            wait_for(lambda: Path(storage, "round.json").exists())
            assert seen_by(hosts.two, storage) == []
    sentence = Ended(storage).error or ""
    assert sentence.startswith("The round stopped: Storage: all workers read and write the round's, but two does not")
    assert "What was recorded is kept; go on with: raytune-playbook resume round" in sentence
    hold.unlink()
    with hosts.running(storage, held):
        pass
    whole = Ended(storage)
    assert whole.error is None
    assert [trial["outcome"] for trial in whole.trials.values()] == ["completed"]
