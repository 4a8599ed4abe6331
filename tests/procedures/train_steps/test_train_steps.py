"""Rules LN2, LN3, LN7, IN14 and SD11: `train-steps` on a real network that fits its training set, and on one that
cannot."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from raytune_playbook import Budget, Float, Gangs, Objective, Resources, Round, run, train_steps
from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.errors import SpecError
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.workloads.tabular import BreastCancer


def make(name: str, **budget: int) -> Round:
    return Round(
        name=name,
        goal="How low does the error get?",
        workload=BreastCancer(),
        nuisance={"learning_rate": Float(0.003, 0.3, scale="log"), "dropout": Float(0.0, 0.5)},
        objective=Objective(metric="error"),
        budget=Budget(**{"num_trials": 6, "max_train_steps": 160, "evaluation_interval_steps": 20} | budget),
        resources=Resources(num_gangs=1),
    )


def test_ln2_the_fastest_learning_rate_to_fit_gives_the_steps_and_the_round_refines_them(cluster, tmp_path: Path):
    round_, storage = make("cancer"), str(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    with Gangs(round_.resources, address=cluster.address, keep_idle_s=60) as gangs:
        options = {"storage": storage, "gangs": gangs, "console": console}
        record = train_steps(round_, **options)
        numbers = record.numbers
        assert record.is_good, record.verdict
        assert (numbers["fits"], numbers["is_at_end"], numbers["lowest"], numbers["target"]) == (True, False, 0.0, 0.0)
        steps, most = numbers["steps_to_fit"], numbers["max_train_steps"]
        assert most % 20 == 0 and steps <= most < steps + 20
        # Every sweep's trials had one length, and the last one's fastest trial is the one that is named.
        tried = []
        for name in record.rounds:
            store = RoundStore(Storage(storage), name)
            assert len({study.max_train_steps for study in store.studies()}) == 1
            tried += [trial for trial in trials_of(store.trials()) if trial.objective == 0.0]
        fastest = min(tried, key=lambda trial: trial.training.num_steps)
        assert fastest.training.num_steps == steps
        assert {trial.values["dropout"] for trial in tried} == {0.0}
        assert {trial.values["data_augmentation"] for trial in tried} == {False}
        assert f"max_train_steps={most}" in record.next[0].sentence

        assert train_steps(round_, **options) == record  # done before
        run(round_, **options)
        refined = train_steps(round_, **options)
        assert refined.number == 2
        assert {name: refined.numbers[name] for name in numbers} == numbers
        assert (refined.numbers["refined_from_steps"], refined.numbers["refined_from_trials"]) == (160, 6)
        assert "The round has run, for 160 steps." in "".join(refined.sentences)
        assert train_steps(round_, **options) == refined
        page = (tmp_path / "cancer" / "report" / "index.html").read_text()
        assert record.verdict in page

        # A loss that nothing reaches: the procedure does not apply, and says so.
        record = train_steps(make("never"), loss=-1.0, max_steps=20, **options)
        assert record.is_good is False
        assert "this procedure does not apply" in record.verdict
        assert (record.numbers["max_train_steps"], record.numbers["fits"]) == (None, False)
        assert not any("train-steps" in (each.command or "") for each in record.next)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"loss": float("nan")}, "loss: a number is needed"),
        ({"max_steps": 0}, "max_steps: at least 1"),
        ({"learning_rate": 0.0}, "learning_rate: above 0"),
        ({"learning_rate": float("inf")}, "learning_rate: above 0"),
    ],
)
def test_ln2_bad_input_is_refused_before_anything_is_written(tmp_path, options, sentence):
    with pytest.raises(SpecError, match=sentence):
        train_steps(make("bad"), storage=str(tmp_path / "rounds"), **options)
    assert not (tmp_path / "rounds").exists()
