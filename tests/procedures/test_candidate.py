"""A candidate's job file: it defines the point, is left alone once it is there, and never takes another's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytune_playbook.engine.jobs.job_file import Job, load_job
from raytune_playbook.procedures.candidate import candidate_of, write_candidate

SOURCE = """
from raytune_playbook import Budget, Float, Round
from raytune_playbook.workloads.digits import DigitsResNet

round = Round(
    name="digits",
    goal="Which learning rate?",
    workload=DigitsResNet(),
    nuisance={"learning_rate": Float(0.01, 1.0, scale="log")},
    fixed={"schedule": "cosine"},
    budget=Budget(num_trials=4, max_train_steps=10, evaluation_interval_steps=5, wall_clock_s=9),
)
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "digits.py").write_text(SOURCE)
    return load_job(str(tmp_path / "digits.py"))


def test_a_point_becomes_a_round_of_one_trial_in_a_file_of_its_own(job, tmp_path):
    values = {**job.round.defaults, "schedule": "cosine", "learning_rate": 0.25}
    candidate = candidate_of(job.round, values, "digits_best", "Is it to be launched?")
    path = write_candidate(job, candidate, "Is it to be launched?\n\nMade by: exploit digits")
    assert path == tmp_path / "digits_best.py"
    loaded = load_job(str(path)).round
    assert loaded.model_dump() == candidate.model_dump()
    assert loaded.fingerprint == candidate.fingerprint
    (study,) = loaded.studies
    assert study.num_trials == 1
    assert {name: study.fixed[name] for name in values} == values
    assert path.read_text().startswith('"""Is it to be launched?\n\nMade by: exploit digits\n"""')


def test_what_is_there_is_left_alone_and_another_point_gets_another_name(job, tmp_path):
    values = {**job.round.defaults, "learning_rate": 0.25}
    path = write_candidate(job, candidate_of(job.round, values, "digits_best", "One."), "One.")
    before = path.read_text()
    again = write_candidate(job, candidate_of(job.round, values, "digits_best", "One."), "Another header.")
    assert (again, path.read_text()) == (path, before)
    other = candidate_of(job.round, {**values, "learning_rate": 0.5}, "digits_best", "One.")
    second = write_candidate(job, other, "Two.")
    assert second == tmp_path / "digits_best_2.py"
    assert load_job(str(second)).round.name == "digits_best_2"
    assert path.read_text() == before
