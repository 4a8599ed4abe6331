"""How a round evaluates, checked before anything starts (rules EV1 and EV5)."""

from __future__ import annotations

import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.study.evaluation_settings import (
    EvaluationSettings,
    check_evaluation,
    evaluation_settings,
    is_sampled,
)
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Int
from tests.study.conftest import DEFAULTS, PlainWorkload

EVALUATED = PlainWorkload(DEFAULTS | {"evaluation_batch_size": None, "evaluation_sample": None})


def test_nothing_is_set_by_default():
    assert evaluation_settings({}, 64) == EvaluationSettings(None, None)
    assert evaluation_settings(EVALUATED.hyperparameters(), 64) == EvaluationSettings(None, None)
    assert not is_sampled(EVALUATED.hyperparameters())
    assert is_sampled({"evaluation_sample": 10})


@pytest.mark.parametrize("size", [64, 65, 1000])
def test_ev1_evaluation_batches_as_large_as_training_batches_or_larger(size):
    assert evaluation_settings({"evaluation_batch_size": size}, 64).batch_size == size


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"evaluation_batch_size": 63},
            r"must be at least batch_size, .* \(rule EV1\), but got 63 < 64; make it larger",
        ),
        ({"evaluation_batch_size": 0}, "evaluation_batch_size must be a number of examples above zero, or None"),
        ({"evaluation_sample": -1}, "evaluation_sample must be a number of examples above zero, or None, but got -1"),
        ({"evaluation_sample": 0.5}, "but got 0.5"),
        ({"evaluation_sample": True}, "but got True"),
    ],
)
def test_bad_settings_are_one_sentence(values, words):
    with pytest.raises(SpecError, match=words):
        evaluation_settings(values, 64)


NUISANCE = {"learning_rate": Discrete([0.1, 0.2])}


def check(make_round, **fields):
    for study in make_round(**{"workload": EVALUATED, "nuisance": NUISANCE} | fields).studies:
        check_evaluation(study)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"fixed": {"evaluation_batch_size": 64}},
        {"fixed": {"evaluation_batch_size": 128, "evaluation_sample": 10}, "scientific": {"batch_size": Int(16, 128)}},
    ],
)
def test_sound_rounds_pass(make_round, fields):
    check(make_round, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"fixed": {"evaluation_batch_size": 32}},
        {"fixed": {"evaluation_batch_size": 127}, "scientific": {"batch_size": Int(16, 128)}},
        {"fixed": {"evaluation_batch_size": 127}, "scientific": {"batch_size": Discrete([64, 128])}},
        {"fixed": {"evaluation_batch_size": 127}, "scientific": {"batch_size": Categorical([64, 128])}},
    ],
)
def test_ev1_every_batch_size_that_a_round_may_try_is_held_against_it(make_round, fields):
    with pytest.raises(SpecError, match=r"evaluation_batch_size must be at least batch_size"):
        check(make_round, **fields)


@pytest.mark.parametrize("name", ["evaluation_sample", "evaluation_batch_size"])
@pytest.mark.parametrize("role", ["scientific", "nuisance"])
def test_ev5_trials_that_were_scored_on_different_examples_are_not_compared(make_round, name, role):
    choices = Categorical([100, 200])
    with pytest.raises(SpecError, match=f"{name} must be the same for all trials of a round, .*varies it; fix it"):
        check(make_round, **{"nuisance": NUISANCE, role: {name: choices}})
