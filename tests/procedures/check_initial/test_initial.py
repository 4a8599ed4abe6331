"""Rule ST5: which configuration is the initial one, and what of it is not simple."""

from __future__ import annotations

import pytest

from raytune_playbook import Budget, Categorical, Discrete, Float, Int, Round
from raytune_playbook.procedures.check_initial.initial import initial_round, initial_values
from raytune_playbook.procedures.check_initial.simplicity import not_simple
from raytune_playbook.search.suggest import suggest
from raytune_playbook.workloads.digits import DigitsResNet


def make(**fields) -> Round:
    budget = Budget(num_trials=12, max_train_steps=100, evaluation_interval_steps=10)
    return Round(**{"name": "digits", "goal": "A goal?", "workload": DigitsResNet(), "budget": budget} | fields)


@pytest.mark.parametrize(
    ("role", "name", "hyperparameter", "value"),
    [
        ("nuisance", "learning_rate", Float(1e-3, 1.0, scale="log"), 0.01),  # the default
        ("nuisance", "learning_rate", Float(0.1, 10.0, scale="log"), pytest.approx(1.0)),
        ("nuisance", "momentum", Float(0.9, 0.9999, scale="log_one_minus"), 0.9),
        ("nuisance", "momentum", Float(0.99, 0.9999, scale="log_one_minus"), pytest.approx(0.999)),
        ("nuisance", "width", Discrete([4, 8, 12]), 8),
        ("nuisance", "dropout", Float(0.1, 0.5), 0.0),  # a regularizer that is off stays off
        ("nuisance", "weight_decay", Float(1e-5, 1e-2, scale="log"), 0.0),
        ("scientific", "width", Discrete([4, 16]), 16),
        ("scientific", "width", Discrete([4, 8]), 4),
        ("scientific", "depth", Int(4, 6), 4),
        ("scientific", "activation", Categorical(["tanh", "gelu"]), "tanh"),
        ("scientific", "activation", Categorical(["tanh", "relu"]), "relu"),
        ("scientific", "dropout", Categorical([0.1, 0.2]), 0.1),  # what is compared is one of what is compared
    ],
)
def test_st5_a_default_is_taken_where_the_round_has_it_else_the_middle_or_the_first(role, name, hyperparameter, value):
    assert initial_values(make(**{role: {name: hyperparameter}})) == {name: value}


def test_st5_sd5_a_hyperparameter_of_one_optimizer_sets_the_workloads_own():
    round_ = make(
        scientific={"optimizer": Categorical(["adam", "nesterov"])},
        nuisance={
            "adam.learning_rate": Float(1e-4, 1e-3, scale="log", when={"optimizer": "adam"}),
            "nesterov.learning_rate": Float(0.1, 1.0, scale="log", when={"optimizer": "nesterov"}),
            "momentum": Float(0.5, 0.99, when={"optimizer": "nesterov"}),
        },
    )
    values = initial_values(round_)
    assert values == {"optimizer": "adam", "learning_rate": pytest.approx(10**-3.5), "momentum": None}
    one = initial_round(round_)
    (study,) = one.studies
    assert (study.num_trials, study.space) == (1, {})
    trial = suggest(study, 0).values
    assert trial == round_.defaults | values


def test_st5_of_listed_configurations_it_is_the_first_and_what_is_fixed_stays():
    round_ = make(configurations=({"learning_rate": 0.3}, {"learning_rate": 0.1}), fixed={"width": 4})
    assert initial_values(round_) == {"learning_rate": 0.3}
    assert initial_round(round_).fixed == {"width": 4, "learning_rate": 0.3}
    assert initial_round(round_).budget == round_.budget.model_copy(update={"num_trials": 1})


SIMPLE = make(nuisance={"learning_rate": Float(1e-3, 1.0, scale="log")})


def test_st3_st6_the_defaults_are_simple():
    assert not_simple(SIMPLE, SIMPLE.defaults, augments=False) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": "nadam"}, "optimizer nadam"),
        ({"schedule": "cosine"}, "schedule cosine (first constant)"),
        ({"warmup_steps": 50}, "50 warmup steps"),
        ({"clipping_norm": 0.5}, "clipped at 0.5"),
        ({"averaging": "uniform"}, "averaging of the weights, uniform"),
        ({"dropout": 0.1}, "dropout 0.1 (first 0)"),
        ({"weight_decay": 1e-4}, "weight_decay 0.0001 (first 0)"),
    ],
)
def test_st3_st6_bells_and_whistles_are_named(change, said):
    (named,) = not_simple(SIMPLE, SIMPLE.defaults | change, augments=False)
    assert said in named


def test_st3_augmentation_and_tuned_secondary_hyperparameters_are_not_simple_either():
    assert "augmented" in not_simple(SIMPLE, SIMPLE.defaults, augments=True)[0]
    round_ = make(fixed={"optimizer": "adam"}, nuisance={"beta1": Float(0.5, 0.9), "epsilon": Float(1e-8, 1e-3)})
    assert not_simple(round_, round_.defaults, augments=False) == (
        "beta1, epsilon tuned (first fixed, and the learning rate tuned)",
    )
