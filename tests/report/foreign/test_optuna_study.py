"""Trials of Optuna studies, which Optuna itself has recorded."""

from __future__ import annotations

import math
import sqlite3

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from raytune_playbook.errors import InputError
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.foreign.read import read_optuna
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int

NUM_EPOCHS = 10


def objective(trial: optuna.Trial) -> float:
    """Two optimizers with a learning rate of their own each; trials fail, diverge and are pruned."""
    optimizer = trial.suggest_categorical("optimizer", ["momentum", "adam"])
    learning_rate = trial.suggest_float(f"{optimizer}.learning_rate", 1e-4, 1.0, log=True)
    depth = trial.suggest_int("depth", 1, 4)
    trial.suggest_int("width", 16, 1024, log=True)
    trial.suggest_float("dropout", 0.0, 0.5, step=0.1)
    trial.suggest_categorical("activation", ["relu", None])
    trial.suggest_float("epsilon", 1e-8, 1e-8)
    trial.set_user_attr("accuracy", 0.5 + trial.number / 100)
    if trial.number == 5:
        raise RuntimeError("boom")
    for epoch in range(NUM_EPOCHS):
        error = 0.05 * (math.log10(learning_rate) + 2) ** 2 + 0.5 / (epoch + 1) + 0.01 * depth
        trial.report(math.nan if trial.number == 6 and epoch == 2 else error, epoch)
        if trial.number == 6 and epoch == 2:
            return math.nan
        if trial.number != 7 and trial.should_prune():
            raise optuna.TrialPruned
    return math.inf if trial.number == 7 else error


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A study in SQLite."""
    file = tmp_path_factory.mktemp("optuna") / "optuna.db"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=f"sqlite:///{file}",
        study_name="mlp",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    study.optimize(objective, n_trials=30, catch=(RuntimeError,))
    study.enqueue_trial({"optimizer": "adam"})
    return file


@pytest.fixture(scope="module")
def study(database):
    return optuna.load_study(study_name="mlp", storage=f"sqlite:///{database}")


@pytest.fixture(scope="module")
def read(database):
    return read_optuna(f"sqlite:///{database}", scientific="optimizer")


def test_every_trial_ends_as_optuna_says(study, read):
    trials = {trial.index: trial for trial in read.reading.trials}
    assert sorted(trials) == [trial.number for trial in study.trials]
    states = set()
    for theirs in study.trials:
        ours = trials[theirs.number]
        states.add(theirs.state)
        assert {name: ours.values[name] for name in theirs.params} == theirs.params
        assert ours.attempts[0].gang == f"trial {theirs.number}"
        if theirs.number == 6:  # it returned NaN, and its last report says so
            assert (theirs.state, ours.outcome) == (TrialState.FAIL, Outcome.INFEASIBLE)
            assert ours.reason == "NaN: its last intermediate value"
        elif theirs.number == 7:
            assert (ours.outcome, ours.reason) == (Outcome.INFEASIBLE, "infinity: value ended so")
        elif theirs.state is TrialState.COMPLETE:
            assert (ours.outcome, ours.objective, ours.reason) == (Outcome.COMPLETED, theirs.value, None)
            assert ours.best_step == NUM_EPOCHS  # Optuna's last step is 9, counted from 0
        elif theirs.state is TrialState.FAIL:
            assert (ours.outcome, ours.objective) == (Outcome.FAILED, None)
        elif theirs.state is TrialState.WAITING:
            assert ours.outcome is None
    assert states == {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.WAITING}
    assert read.best.index == study.best_trial.number
    assert read.reading.status.state == "stopped"


def test_ck4_pruned_trials_count_with_what_they_had_and_have_no_best_step(study, read):
    trials = {trial.index: trial for trial in read.reading.trials}
    pruned = [theirs for theirs in study.trials if theirs.state is TrialState.PRUNED]
    assert pruned
    for theirs in pruned:
        ours = trials[theirs.number]
        num_steps = max(theirs.intermediate_values) + 1
        assert (ours.outcome, ours.best_step) == (Outcome.COMPLETED, None)
        assert ours.objective == min(theirs.intermediate_values.values())
        assert ours.training.num_steps == num_steps
        assert ours.reason == f"stopped early at step {num_steps} of {NUM_EPOCHS}"
    (warning,) = [warning for warning in read.reading.record.warnings if warning.startswith("CK4: ")]
    assert f"{len(pruned)} of {len(study.trials)} trials were stopped early" in warning


def test_sd5_ranges_are_optuna_s_own_and_conditional_ones_stay_in_their_study(read):
    spaces = {study.arm["optimizer"]: study.space for study in read.reading.studies}
    assert spaces["adam"] == {
        "adam.learning_rate": Float(1e-4, 1.0, scale="log"),
        "depth": Int(1, 4),
        "width": Int(16, 1024, scale="log"),
        "dropout": Discrete([0.0 + 0.1 * step for step in range(6)]),
        "activation": Categorical(["relu", None]),
    }
    assert "momentum.learning_rate" in spaces["momentum"]
    assert "adam.learning_rate" not in spaces["momentum"]
    assert read.reading.record.caveats == ["epsilon = 1e-08"]


def test_intermediate_values_are_curves(study, read):
    curves = read.curves[read.best.id].evaluations["validation", "value"]
    best = study.best_trial
    assert dict(zip(curves.steps - 1, curves.values, strict=True)) == best.intermediate_values
    assert read.reading.objective.over == "best"
    assert "Steps are counted from 1, and were from 0." in read.inferred


def test_another_metric_is_judged_where_it_was_recorded(database):
    read = read_optuna(database, objective="accuracy", maximize=True)
    assert read.best.objective == max(trial.objective for trial in read.reading.trials if trial.objective is not None)
    assert read.best.objective > 0.7


def test_a_value_that_is_the_last_one_is_judged_as_such_and_another_one_by_itself():
    def made(value):
        study = optuna.create_study()
        for number in range(3):
            trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
            for step, each in enumerate((3.0, 1.0, 2.0), start=1):
                trial.report(each + number, step)
            study.tell(trial, value + number)
        return read_optuna(study)

    last, other = made(2.0), made(7.0)
    assert (last.reading.objective.over, last.best.objective, last.best.best_step) == ("last", 2.0, 3)
    assert (other.best.objective, other.best.best_step) == (7.0, None)
    assert any("taken for another metric" in note for note in other.inferred)
    assert set(other.curves[other.best.id].evaluations) == {("validation", "intermediate value")}


def test_in3_a_broken_constraint_is_declared_infeasible():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def constrained(trial):
        trial.set_constraint("memory", 1.0 if trial.number == 1 else -1.0)
        return trial.suggest_float("x", 0, 1)

    study.optimize(constrained, n_trials=3)
    trials = read_optuna(study).reading.trials
    assert [trial.outcome for trial in trials] == ["completed", "infeasible", "completed"]
    assert trials[1].reason == "declared infeasible: constraint memory is above 0"


def test_in3_a_trial_without_a_finite_report_is_infeasible_though_optuna_says_pruned_or_failed():
    study = optuna.create_study()
    for number, reported in enumerate(([1.0, 0.5], [], [1.0, math.inf], [1.0])):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        for step, value in enumerate(reported, start=1):
            trial.report(value, step)
        ends = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL)[number]
        study.tell(trial, 0.5 if ends is TrialState.COMPLETE else None, state=ends)
    trials = read_optuna(study).reading.trials
    assert [(trial.outcome, trial.reason) for trial in trials] == [
        ("completed", None),
        ("infeasible", "declared infeasible: pruned before anything was reported"),
        ("infeasible", "infinity: its last intermediate value"),
        ("failed", "Optuna does not record why"),
    ]
    assert [trial.training is None for trial in trials] == [False, True, False, True]
    assert trials[0].training.train_s == study.trials[0].duration.total_seconds()


def test_ranges_that_changed_over_a_study_are_taken_together_and_fine_steps_for_none():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def asking(trial):
        low, high = ((0.1, 1.0), (0.01, 0.5), (0.2, 2.0))[trial.number % 3]
        return trial.suggest_float("x", low, high, log=True) + trial.suggest_float("y", 0, 1000, step=0.5)

    study.optimize(asking, n_trials=6)
    (read,) = read_optuna(study).reading.studies
    assert read.space == {"x": Float(0.01, 2.0, scale="log"), "y": Float(0, 1000)}


def test_of_several_studies_one_has_to_be_named(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    for name, value in (("first", 1.0), ("second", 2.0)):
        study = optuna.create_study(storage=url, study_name=name)
        study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), value)
    with pytest.raises(InputError, match="several studies: first, second; name one with --study"):
        read_optuna(url)
    assert read_optuna(url, "second").best.objective == 2.0


def test_a_direction_that_was_recorded_goes_before_what_a_name_says():
    study = optuna.create_study(direction="maximize")
    study.set_metric_names(["loss"])
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert read_optuna(study).best.objective == study.best_value == max(trial.value for trial in study.trials)


def test_several_objectives_need_one_to_be_named():
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.set_metric_names(["loss", "accuracy"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.5), n_trials=3)
    with pytest.raises(InputError, match="report loss, accuracy; name one with --objective"):
        read_optuna(study)
    assert read_optuna(study, objective="accuracy").reading.objective.goal == "maximize"


def test_a_journal_is_read_as_a_database_is(tmp_path):
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    study = optuna.create_study(storage=storage, study_name="mlp")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert read_optuna(tmp_path / "journal.log").best.objective == study.best_value


def test_a_wrong_place_is_named_in_one_sentence_and_nothing_is_written(tmp_path, database):
    empty, other, text = tmp_path / "empty.db", tmp_path / "other.db", tmp_path / "notes.txt"
    connection = sqlite3.connect(other)
    connection.execute("create table notes (text)")
    connection.commit()
    connection.close()
    text.write_text("no study")
    optuna.storages.RDBStorage(f"sqlite:///{empty}")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    wrong = {
        f"sqlite:///{tmp_path}/nowhere.db": "there is none at",
        str(tmp_path / "nowhere.db"): "there is none at",
        "postgres//wrong": "there is none at",
        "nosql://user:secret@host/db": "'nosql://host/db' cannot be read",
        f"sqlite:///{other}": "is no database of its",
        f"sqlite:///{text}": "cannot be read (",
        str(text): "is neither",
        f"sqlite:///{empty}": "holds none",
    }
    for url, words in wrong.items():
        with pytest.raises(InputError) as error:
            read_optuna(url)
        assert words in str(error.value), url
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="and no 'mpl'; did you mean 'mlp'"):
        read_optuna(database, "mpl")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_study_without_trials_or_with_none_that_ended_is_named():
    study = optuna.create_study(study_name="mlp")
    with pytest.raises(InputError, match="there are none recorded in the study mlp by Optuna"):
        read_optuna(study)
    study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    with pytest.raises(InputError, match="none of the 1 trials"):
        read_optuna(study)
    study.tell(0, state=TrialState.FAIL)
    with pytest.raises(InputError, match="none of the 1 trials recorded in the study mlp by Optuna has: 1 failed"):
        read_optuna(study)


def test_ck4_where_no_trial_was_completed_the_last_report_counts_as_it_does_for_optuna():
    study = optuna.create_study()
    for number in range(3):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        for step, value in enumerate((1.0, 3.0, 2.0), start=1):
            trial.report(value + number, step)
        study.tell(trial, state=TrialState.PRUNED)
    read = read_optuna(study)
    assert [trial.objective for trial in read.reading.trials] == [trial.value for trial in study.trials] == [2, 3, 4]
    assert not any("another metric" in note for note in read.inferred)


def test_without_optuna_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("raytune_playbook.report.foreign.optuna_study.find_spec", lambda name: None)
    with pytest.raises(InputError, match="run pip install optuna"):
        read_optuna("sqlite:///optuna.db")


def test_ck4_one_trial_that_was_pruned_is_one():
    study = optuna.create_study(study_name="one")
    distributions = {"width": optuna.distributions.IntDistribution(1, 8)}
    for width, state in ((2, TrialState.COMPLETE), (3, TrialState.PRUNED)):
        values = {step: 1 / (width + step) for step in range(4 if state is TrialState.COMPLETE else 2)}
        value = values[3] if state is TrialState.COMPLETE else None
        params = {"width": width}
        trial = optuna.trial.create_trial(
            state=state, value=value, params=params, distributions=distributions, intermediate_values=values
        )
        study.add_trial(trial)
    (warning,) = read_optuna(study).reading.record.warnings
    assert warning == (
        "CK4: 1 of 2 trials was stopped early: judged by what it had reached by then. "
        "What more training would have brought is not known, and neither is the best step."
    )
