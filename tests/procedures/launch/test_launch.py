"""From a round to a launch and its test, by commands alone: real trainings on breast cancer (rules AD1 to AD8)."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from ray.cluster_utils import Cluster

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.cli import main
from raytune_playbook.engine.trained.by_example import metric_by_example
from raytune_playbook.records.procedures import newest_procedure
from raytune_playbook.records.registry import read_launches, read_tests
from raytune_playbook.records.scores import read_scores
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.workloads.tabular import BreastCancer

JOB = """
from raytune_playbook import Budget, Float, Objective, Resources, Round
from raytune_playbook.workloads.tabular import BreastCancer

round = Round(
    name="{name}",
    goal="Which learning rate and width?",
    workload=BreastCancer(),
    nuisance={{"learning_rate": Float({low}, {high}, scale="log"), "dropout": Float(0.0, 0.3)}},
    fixed={{"width": 8}},
    objective=Objective(metric="loss"),
    budget=Budget(num_trials=3, max_train_steps=20, evaluation_interval_steps=10),
    resources=Resources(num_gangs=2, cpus_per_worker=0.5),
)
"""


def test_ad1_to_ad8_a_round_is_launched_and_tested_by_commands_alone(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(tmp_path / "rounds")
    storage = Storage(uri)
    for name, low, high in (("first", 0.05, 0.2), ("second", 0.04, 0.25)):
        (tmp_path / f"{name}.py").write_text(JOB.format(name=name, low=low, high=high))
    first, second = RoundStore(storage, "first"), RoundStore(storage, "second")

    def said(*words: str, code: int = 0) -> str:
        runs = words[0] in ("run", "variance", "launch", "test") and "--list" not in words and "--output" not in words
        address = ["--address", cluster.address] if runs else []
        assert main([*words, *address, "--storage", uri]) == code
        told = capsys.readouterr()
        return told.err if code else " ".join(told.out.split())

    assert "holds none" in said("variance", "first", code=2)
    said("run", str(tmp_path / "first.py"))
    assert "read only after a launch (rule AD6), but nothing was launched from 'first'" in said("test", "first", code=2)
    assert "said before it is launched (rule AD4)" in said("launch", "first", code=2)

    # AD1, AD2: retrainings stand in the round's own records, and another search beside it.
    before = trials_of(first.trials())
    told = said("variance", "first", "--num-retrains", "5", "--study-seeds", "1")
    measured = newest_procedure(first, "variance")
    assert measured is not None
    numbers = measured.numbers
    retrained = [each for each in trials_of(first.trials()) if each.repeat]
    assert numbers["num_retrains"] == len(retrained) == 5
    assert numbers["values"] == [each.objective for each in retrained]
    assert len(set(map(str, numbers["values"]))) == 5  # each with seeds of its own
    assert [each for each in trials_of(first.trials()) if not each.repeat] == list(before)
    assert numbers["searched"] == min(each.objective for each in before if each.objective is not None)
    study_values = numbers["study_values"]
    assert isinstance(study_values, list)
    assert len(study_values) == 2
    assert "study variance, rule AD2" in told
    assert "was done before" in said("variance", "first", "--num-retrains", "5", "--study-seeds", "1")

    # AD3, AD5: against what the round started from, whose learning rate is too low for so few steps.
    told = said("launch", "first", "--complexity", "none", "--num-retrains", "8", "--path-retrains", "5")
    assert f"Adopt {numbers['trial']}" in told
    assert "It is launch 1 now." in told
    assert "the learning rate stays constant to the end (rule SC1)" in told
    decided = newest_procedure(first, "launch")
    assert decided is not None
    candidate_values = decided.numbers["candidate_values"]
    assert isinstance(candidate_values, list)
    assert candidate_values[:5] == numbers["values"]  # which were not trained again
    assert len(candidate_values) == decided.numbers["baseline_num_retrains"] == 8
    (launched,) = read_launches(storage)
    assert (launched.round, launched.trial, launched.replaced_launch) == ("first", numbers["trial"], None)
    by_example = metric_by_example(first, launched.trial, "loss", "validation", workload=BreastCancer())
    assert by_example is not None
    assert by_example.mean() == pytest.approx(launched.best, rel=1e-5)
    assert metric_by_example(first, launched.trial, "average_precision", "validation", workload=BreastCancer()) is None
    by_names = {change.names: change for change in launched.changes}
    assert by_names.keys() == {("learning_rate",), ("dropout",)}
    assert by_names["learning_rate",].has_evidence
    assert by_names["learning_rate",].was == {"learning_rate": 0.01}
    assert (first.uri + "/report/index.html") in told
    assert "was done before" in said(
        "launch", "first", "--complexity", "none", "--num-retrains", "8", "--path-retrains", "5"
    )
    assert "is launch 1 already" in said("launch", "first", "--complexity", "none", code=2)

    # The launch is the default baseline of the next round, and is trained again in its own.
    said("run", str(tmp_path / "second.py"))
    told = said("launch", "second", "--complexity", "A wider range.", "--num-retrains", "5", "--anyway", "To see it.")
    decided = newest_procedure(second, "launch")
    assert decided is not None
    assert decided.numbers["baseline"] == f"launch 1 ({launched.trial} of first)"
    assert decided.numbers["baseline_values"] == candidate_values
    assert "Complexity that it adds, as was said: A wider range." in told
    assert [each.number for each in read_launches(storage)] == [1, 2]
    assert read_launches(storage)[1].replaced_launch == 1

    # TR1: the registry as files.
    said("launch", "--output", str(tmp_path / "launches.csv"))
    said("launch", "--output", str(tmp_path / "launches.parquet"))
    said("launch", "--output", str(tmp_path / "launches.csv"))  # an earlier one is replaced, and nothing else is
    pq.write_table(pa.table({"x": [1]}), tmp_path / "data.parquet")
    (tmp_path / "data.csv").write_text("x,y\n1,2\n")
    for data in ("data.csv", "data.parquet"):
        assert "name another file" in said("launch", "--output", str(tmp_path / data), code=2)
    assert (tmp_path / "data.csv").read_text() == "x,y\n1,2\n"
    assert pq.read_table(tmp_path / "data.parquet").column_names == ["x"]
    table = pq.read_table(tmp_path / "launches.parquet")
    assert csv.read_csv(tmp_path / "launches.csv").select(["round"]).equals(table.select(["round"]))
    assert table["round"].to_pylist() == ["first", "second"]
    assert "all/0000" in said("launch", "--list")

    # AD6: the test set once; a second time with a reason.
    told = said("test", "second")
    (score,) = read_scores(second)
    assert (score.split, f"{score.study}/{score.trial}") == ("test", read_launches(storage)[1].trial)
    assert f"Test loss of launch 2 is {score.metrics['loss']:.4g}" in told
    assert "was read once before, last on" in said("test", "second", code=2)
    assert "was read once before" in said("test", "first", code=2)  # it is the same test set
    said("test", "second", "--reason", "The first look was a rehearsal.")
    assert [each.reason for each in read_tests(storage)] == [None, "The first look was a rehearsal."]

    # AD8: folding asks for confirmation, and closes the workload.
    again = ("test", "second", "--reason", "The end.", "--fold-validation")
    assert "ends this workload" in said(*again, code=2)
    assert "closed to launches now (rule AD8)" in said(*again, "--yes")
    folded = read_tests(storage)[-1]
    assert (folded.is_folded, folded.round) == (True, "second-test-folded")
    record = json.loads((tmp_path / "rounds" / folded.round / "round.json").read_text())
    own = second.round().examples
    assert own is not None
    examples = record["examples"]["num_examples"]
    assert examples["train"] == own.num_examples["train"] + own.num_examples["validation"]
    assert "has no further launches (rule AD8)" in said("launch", "second", "--complexity", "none", code=2)
