"""What the README shows is what runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import torch

from raytune_playbook import Budget, Round, Split
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.rounds.run import run
from raytune_playbook.study.checks.rules_of_thumb import warnings
from raytune_playbook.workloads.digits import DigitsResNet

README = Path(__file__).parents[1] / "README.md"


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_st1_the_readmes_own_workload_runs_from_a_folder_that_no_worker_knows(cluster, tmp_path, quiet, monkeypatch):
    job = next(block for block in code_blocks() if "class MoonsNetwork" in block)
    helper = next(block for block in code_blocks() if block.startswith("# moons.py"))
    assert len(job.splitlines()) <= 50
    (tmp_path / "my_job.py").write_text(job)
    (tmp_path / "moons.py").write_text(helper)
    monkeypatch.setattr(sys, "path", sys.path[:])
    round_ = load_job(str(tmp_path / "my_job.py")).round
    assert warnings(round_) == []
    round_ = round_.model_copy(update={"resources": round_.resources.model_copy(update={"num_gangs": 1})})
    result = run(round_, storage=str(tmp_path / "rounds"), console=quiet)
    assert result.trials["outcome"].to_pylist() == ["completed"] * 6
    assert result.best is not None and result.best.objective < 0.1
    assert result.store.status().state == "finished"


def test_the_readmes_round_is_a_round(monkeypatch):
    block = next(block for block in code_blocks() if "DigitsResNet()" in block)
    scope: dict[str, object] = {"__name__": "readme"}
    exec(block, scope)
    assert [study.name for study in scope["round"].studies] == [
        "batch_norm=device",
        "batch_norm=sync",
        "batch_norm=ghost",
    ]


def test_the_readmes_examples_are_divided_and_preprocessed():
    block = next(block for block in code_blocks() if "class Photos" in block)
    scope: dict[str, object] = {}
    exec(block, scope)
    photos = scope["Photos"]()
    assert isinstance(photos.datasets(), Split)
    read = {"image": np.full((2, 3, 4, 1), 255, np.uint8), "path": np.array(["photos/dog/1.jpg", "photos/cat/1.jpg"])}
    found = photos.preprocess(read)
    assert (found["image"].max(), found["label"].tolist()) == (1, [1, 0])
    assert photos.preprocess({**read, "path": np.array(["a/new/1.jpg"] * 2)}).keys() == {"image"}
    image = torch.arange(24.0).reshape(2, 3, 4, 1)
    changed = photos.augment({"image": image, "label": torch.arange(2)}, {})["image"]
    assert all(torch.equal(one, two) or torch.equal(one, two.flip(1)) for one, two in zip(changed, image, strict=True))


def test_the_readmes_conditional_space_is_one():
    block = next(block for block in code_blocks() if "when=" in block)
    scope: dict[str, object] = {}
    exec(f"from raytune_playbook import Categorical, Float\n{block}", scope)
    round_ = Round(
        name="readme",
        goal="Which optimizer?",
        workload=DigitsResNet(),
        scientific=scope["scientific"],
        nuisance=scope["nuisance"],
        budget=Budget(num_trials=4, max_train_steps=10, evaluation_interval_steps=5),
    )
    momentum, adam = round_.studies
    assert list(momentum.space) == ["momentum", "momentum.learning_rate"]
    assert list(adam.space) == ["adam.learning_rate"]


def test_there_are_two_set_up_commands():
    commands = [line for line in README.read_text().splitlines() if line.startswith("pip install")]
    assert commands == [
        "pip install -c cluster/constraints.txt -e . && raytune-playbook run jobs/digits_batch_norm.py",
        "pip install -c cluster/constraints.txt -e '.[test]' && pytest",
    ]
