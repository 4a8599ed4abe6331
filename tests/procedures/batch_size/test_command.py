"""The command that chooses a batch size: what it hands on, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytune_playbook.cli import main
from raytune_playbook.procedures.batch_size import batch_size as module

JOB = """
from raytune_playbook import Budget, Objective, Round
from raytune_playbook.workloads.digits import DigitsResNet

round = Round(
    name="digits", goal="Which batch size?", workload=DigitsResNet(), objective=Objective(metric="error"),
    budget=Budget(num_trials=4, max_train_steps=10, evaluation_interval_steps=5),
)
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    file = tmp_path / "digits.py"
    file.write_text(JOB)
    return file


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--steps-to-target", "0.1"], "'digits' tunes none; make learning_rate nuisance."),
        (["--num-trials", "5"], "--num-trials is how many trials of each size look for --steps-to-target"),
        (["--max", "4"], "--min and --max must leave a power of two times the 1 worker(s) of a gang"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(job, tmp_path, capsys, options, sentence):
    storage = tmp_path / "rounds"
    assert main(["batch-size", str(job), *options, "--storage", str(storage)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not storage.exists()


def test_the_command_hands_its_options_to_the_function(job, tmp_path, monkeypatch):
    asked: dict[str, object] = {}
    monkeypatch.setattr(module, "batch_size", lambda round_, **options: asked.update(options, name=round_.name))
    options = ["--min", "16", "--max", "64", "--steps-to-target", "0.1", "--num-trials", "4", "--again"]
    assert main(["batch-size", str(job), *options, "--storage", str(tmp_path)]) == 0
    job_file = asked.pop("job")
    assert job_file.path == job
    assert asked == {
        "name": "digits", "min": 16, "max": 64, "steps_to_target": 0.1, "num_trials": 4, "again": True,
        "storage": str(tmp_path), "address": None,
    }  # fmt: skip
