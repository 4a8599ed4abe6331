"""A round is held against its examples before Ray starts, as far as they are known without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

JOB = """
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, ray.data
from torch import nn
from raytune_playbook import Budget, Files, Float, Objective, Resources, Round, Split, Workload

def columns(number):
    return {"x": np.zeros(number, np.float32), "y": np.zeros(number, np.float32)}

def files(number):
    pq.write_table(pa.table(columns(number)), f"{number}.parquet")
    return Files(f"{number}.parquet")

class Line(Workload):
    def datasets(self):
        return DATASETS
    def model(self, values):
        return nn.Linear(1, 1)
    def loss(self, model, batch, values):
        return model(batch["x"][:, None])[:, 0].square()

round = Round(
    name="line", goal="Is it found?", workload=Line(), nuisance={"learning_rate": Float(0.01, 0.1)},
    objective=Objective(metric="loss"), budget=Budget(num_trials=2, max_train_steps=4, evaluation_interval_steps=2),
)
"""

WITHOUT_RAY = """
import contextlib, io, json, sys
import ray
from raytune_playbook.cli import main

def init(*arguments, **options):
    raise AssertionError("Ray was started")

ray.init = init
ends = []
for verb, job in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        ends.append((main([verb, job]), said.getvalue()))
print(json.dumps(ends))
"""

TOO_FEW = "but got 64 of 40; make it smaller."

REFUSED = {
    '{"train": columns(40), "validation": columns(9)}': TOO_FEW,
    '{"train": pa.table(columns(40)), "validation": columns(9)}': TOO_FEW,
    '{"train": files(40), "validation": columns(9)}': TOO_FEW,
    '{"train": "nothing/here", "validation": columns(9)}': "there is no nothing/here; correct the path.",
    '{"train": columns(64)}': "'validation' is missing",
    "int('x')": "Workload.datasets must return the examples, but it raises ValueError",
    "__import__('sys').exit()": "but it ends the program with sys.exit() (",
}


def test_examples_that_do_not_suit_are_refused_before_ray_starts(tmp_path):
    asked, sentences = [], []
    for number, (datasets, sentence) in enumerate(REFUSED.items()):
        (tmp_path / f"job{number}.py").write_text(JOB.replace("DATASETS", datasets))
        for verb in ("run", "check", "preprocess"):
            asked.append((verb, f"job{number}.py"))
            sentences.append(sentence)
    command = [sys.executable, "-c", WITHOUT_RAY, json.dumps(asked)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    for (code, said), sentence in zip(json.loads(done.stdout.splitlines()[-1]), sentences, strict=True):
        assert (code, said.count("\n")) == (2, 1), said
        assert sentence in said
    assert not (tmp_path / "rounds").exists()


@pytest.mark.parametrize(
    "datasets",
    [
        '{"train": ray.data.from_numpy(np.zeros((64, 2))), "validation": columns(9)}',
        '{"train": ray.data.read_parquet(files(64).uris), "validation": columns(9)}',
    ],
    ids=["made by Ray", "read by Ray"],
)
def test_examples_that_need_ray_are_looked_at_when_it_runs(tmp_path, monkeypatch, datasets):
    (tmp_path / "job.py").write_text(JOB.replace("DATASETS", datasets))
    program = """
import ray
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.rounds.found_examples import find_before_ray
print(find_before_ray(load_job("job.py").round), ray.is_initialized())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "None False", done.stderr
