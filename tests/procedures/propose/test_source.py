"""A round's source is that round again, and reads like what people write."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from pathlib import Path

import pytest

from raytune_playbook.engine.jobs.job_file import Job, load_job
from raytune_playbook.procedures.propose.applied import applied
from raytune_playbook.procedures.propose.source import job_source
from raytune_playbook.procedures.propose.workload import workload_source
from raytune_playbook.study.round import Round
from tests.procedures.propose.rounds import TEXTS, WORKLOAD, next_study, random_changes, random_round

ROOT = Path(__file__).parents[3]

JOB = """
from a_net import Net
from raytune_playbook import Budget, Round

round = Round(
    name="first", goal="Is it?", workload=Net(name="it's"),
    budget=Budget(num_trials=1, max_train_steps=1, evaluation_interval_steps=1),
)
"""


@pytest.fixture
def first(tmp_path: Path) -> Job:
    """A job whose workload lies in a module beside it."""
    (tmp_path / "a_net.py").write_text(WORKLOAD)
    (tmp_path / "first.py").write_text(JOB)
    return load_job(str(tmp_path / "first.py"))


def is_same(one: Round, other: Round) -> bool:
    return one.model_dump() == other.model_dump() and one.fingerprint == other.fingerprint


def test_in16_the_source_of_any_round_with_any_changes_is_that_round_again(first: Job, tmp_path: Path) -> None:
    source = workload_source(first)
    for seed in range(200):
        rng = random.Random(seed)
        old = random_round(rng, first.round.workload)
        new = applied(old, next_study(random_changes(rng, old)), f"{old.name}_2")
        file = tmp_path / f"next_{seed}.py"
        header = f"{rng.choice(TEXTS)}\n\n- {rng.choice(TEXTS)}\n  {rng.choice(TEXTS)}"
        file.write_text(job_source(new, source, header))
        assert is_same(load_job(str(file)).round, new), file.read_text()
    config = ["--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
    for command in (["format", "--check", "--exclude", "a_net.py,first.py"], ["check", "--select", "F,W,UP"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *config], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("job", ["digits_batch_norm", "cancer_normalization", "text_residual_order"])
def test_a_bundled_job_is_written_as_it_stands(job: str) -> None:
    file = ROOT / "jobs" / f"{job}.py"
    loaded, text = load_job(str(file)), file.read_text()
    header = text.split('"""')[1]
    without_comments = "".join(line for line in text.splitlines(True) if not line.lstrip().startswith("#"))
    written = job_source(loaded.round, workload_source(loaded), header)
    assert ast.dump(ast.parse(written)) == ast.dump(ast.parse(text))
    assert len(written.splitlines()) == len(without_comments.splitlines())  # laid out alike
