"""From a bad range to a checklist without problems by `run` and `propose` alone: real trials on digits."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from rich.console import Console

from raytune_playbook import Gangs, run
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.cli import main
from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.insight import Insight, insight_of
from raytune_playbook.report.reading import read_curves, read_round
from raytune_playbook.study.hyperparameters.hyperparameter import Float

JOB = """
from raytune_playbook import Budget, Float, Objective, Resources, Round
from raytune_playbook.workloads.digits import DigitsResNet

round = Round(
    name="digits_rate",
    goal="How low does the loss of a small network get?",
    workload=DigitsResNet(),
    nuisance={"learning_rate": Float(1e-4, 1e-2, scale="log")},  # the best ones are at 0.03 to 0.06
    fixed={"width": 8, "depth": 1},
    reasons={"momentum": "The walk is about the learning rate."},
    objective=Objective(metric="loss"),
    budget=Budget(num_trials=12, max_train_steps=60, evaluation_interval_steps=10),
    resources=Resources(num_gangs=1),
)
"""

MOST_ROUNDS = 4


def learned(store: RoundStore) -> Insight:
    reading = read_round(store)
    return insight_of(reading, read_curves(store, reading))


def problems(insight: Insight) -> list[Finding]:
    return [finding for finding in insight.findings if finding.status is Status.PROBLEM]


def searched(insight: Insight) -> Float:
    (study,) = insight.evidence.studies
    learning_rate = study.space["learning_rate"]
    assert isinstance(learning_rate, Float)
    return learning_rate


def test_in1_in16_a_range_that_is_cut_is_widened_until_no_problem_is_open(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, storage = tmp_path / "digits_rate.py", str(tmp_path / "rounds")
    job.write_text(JOB)
    walked: list[Insight] = []
    with Gangs(load_job(str(job)).round.resources, address=cluster.address) as gangs:
        while not walked or problems(walked[-1]):
            assert len(walked) < MOST_ROUNDS, [finding.sentence for each in walked for finding in problems(each)]
            if walked:
                name = walked[-1].reading.record.name
                assert main(["propose", name, "--storage", storage, "--num-trials", "12"]) == 0
                job = tmp_path / f"digits_rate_{len(walked) + 1}.py"
                assert f"Written: {job}" in capsys.readouterr().out
            loaded = load_job(str(job))
            quiet = Console(file=io.StringIO())
            walked.append(learned(run(loaded.round, storage=storage, gangs=gangs, job=loaded, console=quiet).store))
    first, last = walked[0], walked[-1]
    assert [finding.rule for finding in problems(first)] == ["IN1"]
    for before, after in itertools.pairwise(walked):  # only at the end where the best points are
        assert searched(after).low == searched(before).low
        assert searched(after).high > searched(before).high
    # What was proposed holds a better point, which lies outside of the range that was flagged, and inside its own.
    best, best_before = last.evidence.ranked[0], first.evidence.ranked[0]
    assert best.objective is not None
    assert best_before.objective is not None
    assert best.objective < best_before.objective
    learning_rate = best.values["learning_rate"]
    assert isinstance(learning_rate, float)
    assert searched(first).high < learning_rate < searched(last).high
