"""Trials in the folder of a `tune.Tuner`'s experiment."""

from __future__ import annotations

import json
import math

import pyarrow.fs as pafs
import pytest

from raytune_playbook.errors import InputError
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.foreign.read import read_ray_tune
from raytune_playbook.study.hyperparameters.hyperparameter import Float

NUM_STEPS = 8


def trainable(config):
    """Trials with a tiny learning rate stop themselves, with a large one diverge, and some crash."""
    from ray import tune

    learning_rate = config["optimizer"]["learning_rate"]
    for step in range(1, 9):
        error = 0.05 * (math.log10(learning_rate) + 2) ** 2 + 0.5 / step + 0.02 * (config["kind"] == "b")
        if learning_rate > 0.3 and step > 3:
            error = math.nan
        tune.report({"val": {"error": error}, "train_error": error / 2, "epoch": step})
        if learning_rate < 1e-3 and step == 4:
            return
        if 0.1 < learning_rate < 0.3 and step == 2:
            raise RuntimeError("the gradient is gone")


def test_a_tuner_s_trials_are_read_as_ray_tune_has_recorded_them(cluster, tmp_path):
    from ray import tune

    rates = [1e-4, 0.01, 0.2, 0.9]  # one stops itself, one is fine, one crashes, one diverges
    tuner = tune.Tuner(
        trainable,
        param_space={
            "kind": tune.grid_search(["a", "b"]),
            "optimizer": {"learning_rate": tune.grid_search(rates)},
            "layers": [64, 64],
        },
        tune_config=tune.TuneConfig(reuse_actors=True),  # no process anew for each trial
        run_config=tune.RunConfig(name="mlp", storage_path=str(tmp_path), verbose=0),
    )
    results = tuner.fit()
    said = {"objective": "val/error", "scientific": "kind"}
    read = read_ray_tune(results, **said)
    folder = read_ray_tune(tmp_path / "mlp", **said)
    assert folder.reading.trials == read.reading.trials
    assert read.reading.origin == "recorded in mlp by Ray Tune"
    ours = {trial.attempts[0].gang: trial for trial in read.reading.trials}
    assert len(ours) == len(results) == 8
    outcomes = set()
    for result in results:
        trial = ours[result.metrics["trial_id"]]
        outcomes.add((trial.outcome, trial.reason))
        assert trial.values["kind"] == result.config["kind"]
        assert trial.values["optimizer/learning_rate"] == result.config["optimizer"]["learning_rate"]
        assert f"_{trial.index:05d}_" in result.path
        errors = result.metrics_dataframe["val/error"]
        curve = read.curves[trial.id].evaluations["validation", "error"]
        assert curve.steps.tolist() == result.metrics_dataframe["training_iteration"].tolist()
        assert [str(value) for value in curve.values] == [str(value) for value in errors]
        if result.error is not None:
            assert trial.outcome == Outcome.FAILED
            assert "the gradient is gone" in trial.last_traceback
        elif math.isnan(errors.iloc[-1]):
            assert (trial.outcome, trial.reason) == (Outcome.INFEASIBLE, "NaN: val/error ended so")
        else:
            assert (trial.outcome, trial.objective) == (Outcome.COMPLETED, errors.min())
            early = len(errors) < NUM_STEPS
            assert trial.best_step == (None if early else errors.idxmin() + 1)
            assert trial.reason == ("stopped early at step 4 of 8" if early else None)
    assert {outcome for outcome, _ in outcomes} == set(Outcome)
    assert (Outcome.COMPLETED, "stopped early at step 4 of 8") in outcomes
    best = results.get_best_result(metric="val/error", mode="min", scope="all", filter_nan_and_inf=True)
    assert read.best.objective == best.metrics_dataframe["val/error"].min()
    (space,) = {json.dumps(study.model_dump()["space"]): study.space for study in read.reading.studies}.values()
    assert set(space) == {"optimizer/learning_rate"}
    assert read.reading.record.caveats == ["layers = [64, 64]"]
    assert "By their names, val/error is validation error, train_error is train error." in read.inferred
    assert read.answer.sentence
    with pytest.raises(InputError, match="report val/error, train_error and no 'val_error'; did you mean 'val/error'"):
        read_ray_tune(tmp_path / "mlp", objective="val_error")
    for wrong, words in ((tmp_path, "name one of the experiments in it: mlp"), (best.path, "of one trial")):
        with pytest.raises(InputError, match=words):
            read_ray_tune(wrong, objective="val/error")


@pytest.fixture
def experiment(tmp_path):
    """A function that writes an experiment of Ray Tune's as it lies on disk."""

    def write(trials, statuses=None):
        folder = tmp_path / "mlp"
        for number, (config, reports) in enumerate(trials):
            trial = folder / f"trial_{number}"
            trial.mkdir(parents=True)
            (trial / "params.json").write_text(json.dumps(config))
            lines = [json.dumps({"training_iteration": step, **report}) for step, report in enumerate(reports, start=1)]
            (trial / "result.json").write_text("".join(f"{line}\n" for line in lines))
        if statuses:
            pairs = [
                [
                    json.dumps(
                        {"trial_id": f"{9 - number:x}a", "status": status, "relative_logdir": f"trial_{number}"}
                    ),
                    json.dumps({"start_time": 1000.0 + number}),
                ]
                for number, status in enumerate(statuses)
            ]
            (folder / "experiment_state-2026-01-01_00-00-00.json").write_text(json.dumps({"trial_data": pairs}))
        return folder

    return write


def test_trials_without_numbers_are_in_the_order_in_which_they_started(experiment):
    trials = [({"lr": 0.1 * number}, [{"loss": float(number)}] * 2) for number in range(1, 4)]
    read = read_ray_tune(experiment(trials, ["TERMINATED"] * 3))
    assert [trial.values["lr"] for trial in read.reading.trials] == [0.1, 0.2, 0.1 * 3]
    assert "Trials are judged by loss, the only metric." in read.inferred


def test_a_trial_that_still_runs_or_waits_has_not_ended(experiment):
    trials = [({"lr": 0.1}, [{"loss": 1.0, "done": True}]), ({"lr": 0.2}, [{"loss": 1.0}])]
    read = read_ray_tune(experiment(trials, ["TERMINATED", "RUNNING", "PENDING"]))
    assert [trial.outcome for trial in read.reading.trials] == ["completed", None, None]
    assert (read.reading.status.state, read.reading.status.reason) == ("stopped", "2 trials have not ended")
    assert not read.insight.evidence.is_finished


def test_without_the_experiment_s_state_reports_say_what_ended(experiment):
    trials = [({"lr": 0.1}, [{"loss": 1.0, "done": True}]), ({"lr": 0.2}, [{"loss": 1.0}])]
    folder = experiment(trials)
    (folder / "trial_1" / "error.txt").write_text("Traceback\nRuntimeError: boom")
    read = read_ray_tune(folder)
    assert [trial.outcome for trial in read.reading.trials] == ["completed", "failed"]
    assert read.reading.trials[1].last_traceback.endswith("boom")


def test_records_that_were_cut_off_are_read_as_far_as_they_go(experiment):
    folder = experiment([({"lr": 0.1}, [{"loss": 3.0}, {"loss": 2.0}])] * 2, ["TERMINATED"] * 2)
    results = folder / "trial_0" / "result.json"
    results.write_text(results.read_text()[:-10])
    (folder / "trial_1" / "params.json").write_text('{"lr": 0.')
    read = read_ray_tune(folder)
    assert {trial.objective for trial in read.reading.trials} == {3.0, 2.0}


def test_a_step_that_was_reported_again_after_a_restart_counts_once(experiment):
    reports = [
        {"loss": 3.0},
        {"loss": 2.0},
        {"loss": 2.5, "training_iteration": 2},
        {"loss": 1.0, "training_iteration": 3},
    ]
    read = read_ray_tune(experiment([({"lr": 0.1}, reports)], ["TERMINATED"]))
    (curves,) = read.curves.values()
    assert curves.evaluations["validation", "loss"].values.tolist() == [3.0, 2.5, 1.0]


def test_the_newest_state_counts_and_only_a_trial_that_failed_has_a_traceback(experiment):
    folder = experiment([({"lr": 0.1 * n}, [{"loss": 1.0 * n}] * 2) for n in (1, 2)], ["TERMINATED", "ERROR"])
    state = folder / "experiment_state-2026-01-01_00-00-00.json"
    (folder / "experiment_state-2025-12-31_00-00-00.json").write_text(
        state.read_text().replace("TERMINATED", "RUNNING")
    )
    for name in ("trial_0", "trial_1"):
        (folder / name / "error.txt").write_text("Traceback\nRuntimeError: boom")
    trials = read_ray_tune(folder).reading.trials
    assert [trial.outcome for trial in trials] == ["completed", "failed"]
    assert [trial.last_traceback is None for trial in trials] == [True, False]


def test_what_tune_and_counters_add_to_reports_is_no_metric(experiment):
    added = {"timestamp": 1.8e9, "time_total_s": 12.5, "time_this_iter_s": 0.5, "pid": 17, "epoch": 3, "done": False}
    read = read_ray_tune(experiment([({"lr": 0.1}, [{"loss": 2.0, **added}, {"loss": 1.0, **added}])], ["TERMINATED"]))
    assert read.insight.judged_by == "lowest validation loss over training"
    (curves,) = read.curves.values()
    assert set(curves.evaluations) == {("validation", "loss")}
    assert [trial.training.train_s for trial in read.reading.trials] == [12.5]


def test_a_trial_whose_parameters_are_lost_has_those_of_its_reports_or_of_the_state(experiment):
    reports = [{"loss": 1.0, "config": {"lr": 0.5}}]
    folder = experiment([({}, reports), ({}, [{"loss": 2.0}])], ["TERMINATED"] * 2)
    for name in ("trial_0", "trial_1"):
        (folder / name / "params.json").unlink()
    state = folder / "experiment_state-2026-01-01_00-00-00.json"
    pairs = json.loads(state.read_text())["trial_data"]
    specs = [json.dumps(json.loads(spec) | {"config": {"lr": 0.25}}) for spec, _ in pairs]
    state.write_text(json.dumps({"trial_data": [[spec, times] for spec, (_, times) in zip(specs, pairs, strict=True)]}))
    assert {trial.objective: trial.values["lr"] for trial in read_ray_tune(folder).reading.trials} == {
        1.0: 0.5,
        2.0: 0.25,
    }


def test_true_is_not_1(experiment):
    trials = [({"flag": flag}, [{"loss": 1.0}]) for flag in (True, 1, True, 1)]
    read = read_ray_tune(experiment(trials, ["TERMINATED"] * 4), scientific="flag")
    assert sorted(str(study.arm["flag"]) for study in read.reading.studies) == ["1", "True"]


def test_trials_have_tune_s_own_numbers_and_ended_when_the_last_one_did(experiment):
    folder = experiment([({"lr": 0.1 * n}, [{"loss": 1.0 * n}] * 4) for n in (1, 2)], ["TERMINATED"] * 2)
    state = folder / "experiment_state-2026-01-01_00-00-00.json"
    state.write_text(state.read_text().replace("9a", "e_00005").replace("8a", "e_00003"))
    read = read_ray_tune(folder)
    assert [(trial.index, trial.values["lr"]) for trial in read.reading.trials] == [(3, 0.2), (5, 0.1)]
    assert read.reading.record.created_at == "1970-01-01T00:16:40+00:00"
    assert (read.reading.studies[0].evaluation_interval_steps, read.reading.studies[0].max_train_steps) == (1, 4)


def test_evaluations_that_are_steps_apart_are_so(experiment):
    reports = [{"loss": 4.0 - place, "training_iteration": 5 * (place + 1)} for place in range(3)]
    read = read_ray_tune(experiment([({"lr": 0.1}, reports)], ["TERMINATED"]))
    assert (read.reading.record.budget.evaluation_interval_steps, read.reading.record.budget.max_train_steps) == (5, 15)
    assert read.reading.studies[0].evaluation_interval_steps == 5


def test_what_a_tuner_returned_is_read_where_it_lies():
    class Grid:
        experiment_path, filesystem = "bucket/mlp", pafs._MockFileSystem()

    with pytest.raises(InputError, match="'mock://bucket/mlp' is none"):
        read_ray_tune(Grid(), objective="loss")


def test_trials_that_reported_once_have_no_curve(experiment):
    read = read_ray_tune(experiment([({"lr": 0.1 + n}, [{"loss": 1.0 + n}]) for n in range(3)], ["TERMINATED"] * 3))
    assert read.curves == {}
    assert {trial.best_step for trial in read.reading.trials} == {None}


def test_names_that_clash_are_refused(experiment):
    with pytest.raises(InputError, match="'optimizer/lr' stands twice"):
        read_ray_tune(experiment([({"optimizer/lr": 1, "optimizer": {"lr": 2}}, [{"loss": 1.0}])], ["TERMINATED"]))


@pytest.mark.parametrize("given", ["nowhere", 3])
def test_what_is_no_experiment_is_named_in_one_sentence(given):
    with pytest.raises(InputError, match="experiment of Ray Tune") as error:
        read_ray_tune(given, objective="loss")
    assert "\n" not in str(error.value)


def test_ranges_that_were_said_go_before_inferred_ones(experiment):
    trials = [({"lr": 0.1 * number}, [{"loss": float(number)}]) for number in range(1, 9)]
    read = read_ray_tune(experiment(trials, ["TERMINATED"] * 8), ranges={"lr": Float(1e-3, 1.0, scale="log")})
    assert read.reading.studies[0].space == {"lr": Float(1e-3, 1.0, scale="log")}
    assert not any("values that were tried" in note for note in read.inferred)
