"""What a fingerprint holds, and what it leaves out."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.fingerprints import (
    content_hash,
    examples_fingerprint,
    fingerprint,
    round_fingerprint,
    source_hash,
    space_fingerprint,
    trial_fingerprint,
)
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete, Float
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import WorkloadSpec
from raytune_playbook.study.trial import TrialSpec


@pytest.mark.parametrize(
    "change",
    [
        {"num_trials": 11},
        {"objective": Objective(metric="loss", goal="maximize", over="last", split="train")},
        {"workload": WorkloadSpec(module="__main__", name="Plain", settings={"size": 3}, source_hash="5f3c")},
        {"fixed": {"data_split": 0}},  # which earlier versions did not have
        {"fixed": {"data_augmentation": True}},  # nor this
    ],
    ids=lambda change: next(iter(change)),
)
def test_qr4_qr5_fingerprint_leaves_out_what_changes_no_trial(make_study, change):
    assert make_study(**change).fingerprint == make_study().fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"fixed": {"batch_size": 65}},
        {"fixed": {"data_split": 1}},
        {"fixed": {"data_augmentation": False}},
        {"arm": {"activation": "tanh"}},
        {"space": {"learning_rate": Float(1e-3, 1.0)}},
        {"space": {"depth": Discrete([2, 4.5, 9])}},
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
def test_qr2_fingerprint_holds_what_changes_trials(make_study, change):
    assert make_study(**change).fingerprint != make_study().fingerprint


def test_qr2_the_order_of_dimensions_counts(make_study):
    study = make_study()
    turned = study.model_copy(update={"space": dict(reversed(study.space.items()))})
    assert turned.space == study.space
    assert turned.fingerprint != study.fingerprint


def test_a_trials_fingerprint_holds_all_but_its_objective(make_study):
    trial = suggest(make_study(), 3)
    changes = {
        "study": "other",
        "index": 4,
        "repeat": 1,
        "seed": 1,
        "values": trial.values | {"epsilon": 1e-7},
        "max_train_steps": 101,
        "evaluation_interval_steps": 20,
        "divergence_factor": 3.0,
        "target": 0.0,
    }
    assert changes.keys() | {"objective"} == TrialSpec.model_fields.keys()
    others = [trial.model_copy(update={name: value}) for name, value in changes.items()]
    found = [trial_fingerprint(trial, 2), trial_fingerprint(trial, 3), *(trial_fingerprint(each, 2) for each in others)]
    assert len(set(found)) == len(found)
    judged_otherwise = trial.model_copy(update={"objective": Objective(metric="loss")})
    assert trial_fingerprint(judged_otherwise, 2) == found[0]


def test_ck2_a_trial_of_an_earlier_version_is_taken_up_where_augmentation_is_not_switched_off(make_study):
    trial = suggest(make_study(), 3)
    now, off = (trial.model_copy(update={"values": {**trial.values, "data_augmentation": on}}) for on in (True, False))
    assert trial_fingerprint(now, 2) == trial_fingerprint(trial, 2) != trial_fingerprint(off, 2)


def test_ba6_where_trials_end_at_a_target_what_it_is_a_value_of_counts(make_study):
    study = make_study(target=0.0)
    judged_otherwise = study.model_copy(update={"objective": Objective(metric="loss")})
    assert len({each.fingerprint for each in (make_study(), study, judged_otherwise, make_study(target=0.1))}) == 4
    trials = [suggest(each, 3) for each in (study, judged_otherwise)]
    assert trial_fingerprint(trials[0], 2) != trial_fingerprint(trials[1], 2)


def test_an_examples_fingerprint_holds_every_fact_and_every_source():
    facts, sources = ("Digits", [("size", 3)], True), {"train": "a", "validation": "b"}
    others = [
        (("Digits", [("size", 4)], True), sources),
        (("Digits", [("size", 3)], False), sources),
        (facts, {"train": "a", "validation": "c"}),
        (facts, {"train": "b", "validation": "a"}),
        (facts, {"train": "a"}),
    ]
    found = {examples_fingerprint(*other) for other in [(facts, sources), *others]}
    assert len(found) == len(others) + 1
    assert examples_fingerprint(facts, dict(reversed(sources.items()))) == examples_fingerprint(facts, sources)


def test_qr2_fingerprints_are_the_same_in_every_version_and_process(make_study):
    assert fingerprint({"b": [1, 2.5, None, True, "é"], "a": {}}) == "35c9cfb43ba11539"
    assert make_study().fingerprint == "8a650bf9cf1b2045"
    assert trial_fingerprint(suggest(make_study(), 3), 2) == "56abbb1cbaeeafdb"
    assert round_fingerprint("round", 2**63, ["8a650bf9cf1b2045"]) == "c7b53b7987038c63"
    assert space_fingerprint({"a": {"kind": ["Int", {}]}}, {"k": 1})[:16] == "4b956839257bd70c"
    assert source_hash(b"class Digits: ...") == "0a3f5b5a3966dc9d"
    assert examples_fingerprint(("Digits", True), {"train": content_hash(b"abc")}) == "f2e2023494549da1"
    program = (
        "from raytune_playbook.study.fingerprints import fingerprint;"
        "print(fingerprint({'a': {}, 'b': [1, 2.5, None, True, 'é']}))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "35c9cfb43ba11539"


def test_fingerprint_refuses_nan():
    with pytest.raises(ValueError, match="JSON"):
        fingerprint(float("nan"))
