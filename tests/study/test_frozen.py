"""Specifications refuse what is no value of theirs, each in one sentence."""

from __future__ import annotations

import pytest

from raytune_playbook.errors import InputError
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.settings import Budget, Objective, Resources


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: Budget(num_trials=0, max_train_steps=1, evaluation_interval_steps=1), "Budget.num_trials"),
        (
            lambda _: Budget(num_trials=1, max_train_steps=10, evaluation_interval_steps=11),
            "11 > 10; evaluate at least",
        ),
        (
            lambda _: Budget(num_trials=1, max_train_steps=10),
            "Budget needs a value for 'evaluation_interval_steps'",
        ),
        (
            lambda _: Budget(num_trials=1, max_train_steps=1, evaluation_interval_steps=1, divergence_factor=1.0),
            "Budget.divergence_factor",
        ),
        (lambda _: Budget(num_trials=1.5, max_train_steps=1, evaluation_interval_steps=1), "Budget.num_trials"),
        (lambda _: Objective(over="mean"), "Objective.over: input should be 'best' or 'last', but got 'mean'"),
        (lambda _: Objective(split="test"), "Objective.split"),
        (lambda _: Resources(num_workers=0), "Resources.num_workers"),
        (lambda _: Resources(gpu_per_worker=1), "Resources has no field 'gpu_per_worker'"),
        (lambda study: suggest(study(), -1), "index"),
        (lambda study: study(space={"x": {"kind": "float", "low": 0.0, "high": "one"}}), "Float.high"),
        (lambda study: study(fixed={"x": [1]}), "StudySpec.fixed.x"),
    ],
)
def test_bad_specifications_are_one_sentence(make_study, make, words):
    with pytest.raises(InputError, match=words) as caught:
        make(make_study)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": {"split": "nonsense"}}, "Objective.split"),
        ({"fixed": {"dropot": 0.1}}, "PlainWorkload has no 'dropot'"),
        ({"budget": None}, "Round.budget"),
        ({"nuisance": {"batch_size": Discrete([16, 32])}}, "'batch_size' must not be a nuisance"),
        ({"name": "a/b"}, "Round.name"),
        ({"sed": 1}, "Round has no field 'sed'"),
        ({"seed": -1}, "Round.seed"),
    ],
)
def test_a_changed_copy_is_checked_as_a_new_one_is(make_round, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        make_round().model_copy(update=changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_equals_what_is_made_of_the_same_fields(make_round, make_study, deep):
    kinds = [Float(0.1, 1, scale="log"), Int(1, 8, when={"a": 1}), Discrete([1, 2.5]), Categorical([None, True, "x"])]
    for spec in (make_round(), make_study(), Objective(goal="maximize"), *kinds):
        same = spec.model_copy(deep=deep)
        assert same == spec or (deep and same.workload is not spec.workload)
        assert same.model_dump_json() == spec.model_dump_json()
    assert make_study().model_copy(update={"seed": 5}, deep=deep) == make_study(seed=5)
    assert make_round().studies == make_round().model_copy(deep=deep).studies


def test_a_copy_derives_its_studies_from_its_own_fields(make_round):
    round_ = make_round()
    before = [study.seed for study in round_.studies]
    later = round_.model_copy(update={"seed": 7})
    assert {study.seed for study in later.studies} == {7} != set(before)
