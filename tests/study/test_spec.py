"""Specifications in and out as JSON, and their fingerprints."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from raytune_playbook.errors import InputError, SpecError
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.fingerprints import fingerprint
from raytune_playbook.study.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.settings import Budget, Objective, Resources
from raytune_playbook.study.study import StudySpec, WorkloadSpec
from raytune_playbook.study.trial import TrialSpec

FIELDS = {
    "name": "activation=relu",
    "arm": {"activation": "relu"},
    "space": {
        "learning_rate": Float(1e-3, 1.0, scale="log"),
        "momentum": Float(0.5, 0.99, scale="log_one_minus"),
        "width": Int(16, 64, scale="log"),
        "depth": Discrete([2, 4.5, 8]),
        "augmentation": Categorical([None, True, 1, "1", 0.5]),
    },
    "fixed": {"epsilon": 1e-8, "decay_steps": None, "clip": False, "batch_size": 64, "schedule": "cosine"},
    "seed": 2**63,
    "num_trials": 10,
    "objective": Objective(),
    "max_train_steps": 100,
    "evaluation_interval_steps": 10,
    "divergence_factor": 2.0,
    "workload": WorkloadSpec(module="jobs.plain", name="Plain", settings={"size": 3}, source_hash="5f3c"),
    "num_workers": 2,
    "threads_per_worker": 1,
}


def study(**changes: object) -> StudySpec:
    return StudySpec(**(FIELDS | changes))


def typed(values: dict[str, object]) -> dict[str, tuple[type, object]]:
    return {name: (type(value), value) for name, value in values.items()}


def test_study_survives_json():
    again = StudySpec(**json.loads(json.dumps(study().model_dump(mode="json"))))
    assert again == study()
    assert list(again.space) == list(study().space)
    assert typed(again.fixed) == typed(study().fixed)
    assert again.fingerprint == study().fingerprint
    for index in range(30):
        assert typed(suggest(again, index).values) == typed(suggest(study(), index).values)


def test_trial_survives_json():
    for index in range(30):
        trial = suggest(study(), index, repeat=index % 3)
        again = TrialSpec(**json.loads(json.dumps(trial.model_dump(mode="json"))))
        assert again == trial
        assert typed(again.values) == typed(trial.values)


def test_trial_keys_sort_like_indices_and_name_repeats():
    keys = [suggest(study(), index, repeat).key for index in (0, 9, 10, 99999) for repeat in (0, 1)]
    assert keys == ["00000", "00000.r1", "00009", "00009.r1", "00010", "00010.r1", "99999", "99999.r1"]
    assert sorted(keys) == keys


@pytest.mark.parametrize(
    "change",
    [
        {"num_trials": 11},
        {"objective": Objective(metric="loss", goal="maximize", over="last", split="train")},
        {"workload": WorkloadSpec(module="__main__", name="Plain", settings={"size": 3}, source_hash="5f3c")},
        {"fixed": FIELDS["fixed"] | {"data_split": 0}},  # which earlier versions did not have
    ],
    ids=lambda change: next(iter(change)),
)
def test_qr4_qr5_fingerprint_leaves_out_what_changes_no_trial(change):
    assert study(**change).fingerprint == study().fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"fixed": FIELDS["fixed"] | {"batch_size": 65}},
        {"fixed": FIELDS["fixed"] | {"data_split": 1}},
        {"arm": {"activation": "tanh"}},
        {"space": dict(reversed(FIELDS["space"].items()))},
        {"space": FIELDS["space"] | {"learning_rate": Float(1e-3, 1.0)}},
        {"space": FIELDS["space"] | {"depth": Discrete([2, 4.5, 9])}},
        {"max_train_steps": 101},
        {"evaluation_interval_steps": 20},
        {"divergence_factor": 3.0},
        {"num_workers": 3},
        {"threads_per_worker": 2},
        {"workload": WorkloadSpec(module="jobs.plain", name="Plain", settings={"size": 4}, source_hash="5f3c")},
        {"workload": WorkloadSpec(module="jobs.plain", name="Other", settings={"size": 3}, source_hash="5f3c")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_qr2_fingerprint_holds_what_changes_trials(change):
    assert study(**change).fingerprint != study().fingerprint


def test_qr2_fingerprints_are_the_same_in_every_version_and_process():
    assert fingerprint({"b": [1, 2.5, None, True, "é"], "a": {}}) == "35c9cfb43ba11539"
    assert study().fingerprint == "8a650bf9cf1b2045"
    program = (
        "from raytune_playbook.study.fingerprints import fingerprint;"
        "print(fingerprint({'a': {}, 'b': [1, 2.5, None, True, 'é']}))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "35c9cfb43ba11539"


def test_fingerprint_refuses_nan():
    with pytest.raises(ValueError, match="JSON"):
        fingerprint(float("nan"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Budget(num_trials=0, max_train_steps=1, evaluation_interval_steps=1), "Budget.num_trials"),
        (lambda: Budget(num_trials=1, max_train_steps=10, evaluation_interval_steps=11), "11 > 10; evaluate at least"),
        (lambda: Budget(num_trials=1, max_train_steps=10), "Budget needs a value for 'evaluation_interval_steps'"),
        (
            lambda: Budget(num_trials=1, max_train_steps=1, evaluation_interval_steps=1, divergence_factor=1.0),
            "Budget.divergence_factor",
        ),
        (lambda: Budget(num_trials=1.5, max_train_steps=1, evaluation_interval_steps=1), "Budget.num_trials"),
        (lambda: Objective(over="mean"), "Objective.over: input should be 'best' or 'last', but got 'mean'"),
        (lambda: Objective(split="test"), "Objective.split"),
        (lambda: Resources(num_workers=0), "Resources.num_workers"),
        (lambda: Resources(gpu_per_worker=1), "Resources has no field 'gpu_per_worker'"),
        (lambda: suggest(study(), -1), "index"),
        (lambda: StudySpec(**(FIELDS | {"space": {"x": {"kind": "float", "low": 0.0, "high": "one"}}})), "Float.high"),
        (lambda: StudySpec(**(FIELDS | {"fixed": {"x": [1]}})), "StudySpec.fixed.x"),
    ],
)
def test_bad_specifications_are_one_sentence(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_ad6_the_test_split_cannot_be_an_objective():
    with pytest.raises(SpecError, match="split"):
        Objective(split="test")


def test_in13_the_best_value_of_the_validation_error_is_the_default_objective():
    assert (Objective().name, Objective().goal, Objective().over) == ("validation error", "minimize", "best")
    assert Objective().is_better(0.1, 0.2)
    assert not Objective().is_better(0.2, 0.2)
    assert Objective(goal="maximize").is_better(0.3, 0.2)


@pytest.mark.parametrize(("cpus", "threads"), [(0.25, 1), (1.0, 1), (1.9, 1), (4.0, 4)])
def test_threads_follow_from_logical_cpus_not_from_the_machine(cpus, threads):
    assert Resources(cpus_per_worker=cpus).threads_per_worker == threads
