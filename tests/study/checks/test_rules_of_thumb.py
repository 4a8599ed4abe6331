"""The rules of thumb, and a round's price."""

from __future__ import annotations

import pytest

from raytune_playbook.study.checks import rules_of_thumb
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int

RATE = Float(1e-3, 1.0, scale="log")
MOMENTUM = Float(0.5, 0.99, scale="log_one_minus")
SOUND = {"learning_rate": RATE, "momentum": MOMENTUM}


def about(warnings: list[str], *words: str) -> list[str]:
    """The warnings that hold all the words."""
    return [warning for warning in warnings if all(word in warning for word in words)]


def test_a_sound_round_is_not_warned_of(make_round):
    round_ = make_round(scientific={"activation": Categorical(["relu", "tanh"])}, nuisance=SOUND)
    assert rules_of_thumb.warnings(round_) == []


def test_sd1_more_than_one_scientific_hyperparameter(make_round):
    round_ = make_round(scientific={"depth": Int(1, 2), "activation": Categorical(["relu", "tanh"])}, nuisance=SOUND)
    assert rules_of_thumb.warnings(round_) == [
        "SD1: a round's goal should be narrow, but it has 2 scientific hyperparameters (activation, depth); split it."
    ]


@pytest.mark.parametrize(
    ("optimizer", "tuned", "missing"),
    [
        ("sgd", [], ["learning_rate"]),
        ("momentum", [], ["learning_rate", "momentum"]),
        ("momentum", ["learning_rate"], ["momentum"]),
        ("nesterov", ["learning_rate"], ["momentum"]),
        ("nesterov", ["learning_rate", "momentum"], []),
        ("adam", [], ["learning_rate"]),  # ST3: the secondary ones may stay at their defaults
        ("adam", ["learning_rate"], []),
        ("rmsprop", ["learning_rate"], ["momentum"]),
        ("rmsprop", ["learning_rate", "momentum"], []),
        ("nadam", [], ["learning_rate"]),
        ("torch_adamw", ["learning_rate"], []),
    ],
)
def test_sd4_fixed_optimizer_hyperparameters_need_a_reason(make_round, optimizer, tuned, missing):
    nuisance = {name: SOUND[name] for name in tuned}
    trials = 9 if tuned else 1  # a space without dimensions has one point
    round_ = make_round(trials, nuisance=nuisance, fixed={"optimizer": optimizer})
    warnings = rules_of_thumb.warnings(round_)
    assert [warning.split()[1] for warning in warnings] == missing
    assert all("is fixed, but its best value moves" in warning for warning in warnings)
    reasons = dict.fromkeys(missing, "tuned in the round before")
    assert (
        rules_of_thumb.warnings(make_round(trials, nuisance=nuisance, fixed={"optimizer": optimizer}, reasons=reasons))
        == []
    )


def test_sd4_scientific_optimizer_hyperparameters_need_a_reason(make_round):
    fields = {"scientific": {"momentum": Discrete([0.5, 0.9])}, "nuisance": {"learning_rate": RATE}}
    (warning,) = rules_of_thumb.warnings(make_round(**fields))
    assert warning.startswith("SD4: momentum is scientific")
    assert rules_of_thumb.warnings(make_round(**fields, reasons={"momentum": "the question itself"})) == []


def test_sd4_optimizer_choice_is_not_nuisance(make_round):
    round_ = make_round(nuisance=SOUND | {"optimizer": Categorical(["momentum", "nesterov"])})
    (warning,) = rules_of_thumb.warnings(round_)
    assert warning.startswith("SD4: optimizer is nuisance")
    compared = make_round(scientific={"optimizer": Categorical(["momentum", "nesterov"])}, nuisance=SOUND)
    assert rules_of_thumb.warnings(compared) == []


def test_sd4_compared_optimizers_each_need_their_hyperparameters(make_round):
    round_ = make_round(8, scientific={"optimizer": Categorical(["sgd", "momentum"])}, nuisance={"learning_rate": RATE})
    (warning,) = rules_of_thumb.warnings(round_)
    assert warning.startswith("SD4: momentum is fixed")


@pytest.mark.parametrize(
    ("kind", "warned"),
    [
        (Float(1e-5, 1e-2, scale="log"), True),
        (Discrete([0.0001, 0.001]), True),
        (Categorical([0.0001, 0.001]), True),
        (Categorical([0.0, 0.001]), False),
        (Categorical([None, 0.001]), False),
        (Categorical(["none", "some"]), False),
    ],
)
def test_sd4_strength_of_a_regularizer_is_not_the_question_its_inclusion_is(make_round, kind, warned):
    warnings = rules_of_thumb.warnings(make_round(scientific={"weight_decay": kind}, nuisance=SOUND))
    assert bool(about(warnings, "SD4", "strength of weight_decay")) is warned
    assert len(warnings) == warned


@pytest.mark.parametrize("name", ["depth", "width"])
def test_sd4_architecture_that_changes_the_cost_is_not_nuisance(make_round, name):
    (warning,) = rules_of_thumb.warnings(make_round(nuisance=SOUND | {name: Int(1, 4)}))
    assert warning.startswith(f"SD4: {name} is nuisance, but it changes the cost")
    assert rules_of_thumb.warnings(make_round(nuisance=SOUND | {name: Int(1, 4)}, reasons={name: "cheap"})) == []


def test_sd9_uneven_split_says_what_is_left(make_round):
    activations = Categorical(["relu", "tanh", "gelu"])
    (warning,) = rules_of_thumb.warnings(make_round(11, scientific={"activation": activations}, nuisance=SOUND))
    assert warning == "SD9: 11 trials cannot be split evenly over 3 studies; each has 3, 2 are not run."
    assert rules_of_thumb.warnings(make_round(12, scientific={"activation": activations}, nuisance=SOUND)) == []


def test_sd9_price_counts_what_is_run(make_round):
    activation = Categorical(["relu", "tanh", "gelu"])
    price = rules_of_thumb.price(
        make_round(11, scientific={"activation": activation}, nuisance={"learning_rate": RATE})
    )
    assert (price.num_trials_of_studies, price.num_trials, price.num_steps) == ((3, 3, 3), 9, 900)
    assert price.sentence(2) == "9 trials = 3 studies x 3, 900 steps in all, on 2 gang(s) of 1 worker(s)"


def test_sd9_studies_of_unequal_size_are_counted_and_named(make_round):
    units = Discrete([1, 2], when={"activation": "tanh"})
    round_ = make_round(12, scientific={"activation": Categorical(["relu", "tanh"])}, nuisance={"width": units})
    assert rules_of_thumb.price(round_).sentence(1).startswith("3 trials = 1 study x 1, 1 study x 2, 300 steps in all")
    found = [warning for warning in rules_of_thumb.warnings(round_) if warning.startswith("SD9")]
    assert found == [
        f"SD9: study 'activation={name}' has only {size} different point(s) and stops after them, "
        "though its share is 6 trials; widen its space, or ask for fewer trials."
        for name, size in (("relu", 1), ("tanh", 2))
    ]


def test_sd9_a_joint_study_of_fewer_trials_than_arms_is_warned_of(make_round):
    fields = {"scientific": {"depth": Int(1, 20)}, "nuisance": SOUND}
    assert any(
        "19 trials are too few for 20 combinations" in line
        for line in rules_of_thumb.warnings(make_round(19, **fields))
    )
    assert rules_of_thumb.warnings(make_round(20, **fields)) == []


def test_sd4_qualified_names_count_as_what_they_set(make_round):
    """A learning rate for each optimizer is a tuned learning rate."""
    optimizers = Categorical(["momentum", "adam"])
    nuisance = {
        "momentum.learning_rate": RATE.model_copy(update={"when": {"optimizer": ("momentum",)}}),
        "adam.learning_rate": RATE.model_copy(update={"when": {"optimizer": ("adam",)}}),
        "momentum": Float(0.5, 0.99, scale="log_one_minus", when={"optimizer": "momentum"}),
    }
    assert rules_of_thumb.warnings(make_round(18, scientific={"optimizer": optimizers}, nuisance=nuisance)) == []


ADAM = {
    "learning_rate": RATE,
    "beta1": Float(0.5, 0.99, scale="log_one_minus"),
    "epsilon": Float(1e-10, 1.0, scale="log"),
    "beta2": Float(0.9, 0.9999, scale="log_one_minus"),
}


@pytest.mark.parametrize(
    ("num_trials", "num_allowed"),
    [(1, 1), (9, 1), (10, 2), (24, 2), (25, 3), (49, 3), (50, 4), (1000, 4)],
)
def test_sd10_how_many_of_adams_hyperparameters_a_budget_allows(make_round, num_trials, num_allowed):
    for num_tuned in range(1, 5):
        nuisance = dict(list(ADAM.items())[:num_tuned])
        warnings = rules_of_thumb.warnings(make_round(num_trials, nuisance=nuisance, fixed={"optimizer": "adam"}))
        extra = sorted(list(nuisance)[num_allowed:])
        assert len(warnings) == bool(extra)
        assert len(about(warnings, "SD10", f"{num_trials} trials per study", ", ".join(extra))) == bool(extra)


def test_sd10_counts_trials_per_study_and_speaks_of_adam_alone(make_round):
    activations = Categorical(["relu", "tanh", "gelu"])
    nuisance = {"learning_rate": RATE, "beta1": ADAM["beta1"]}
    fields = {"scientific": {"activation": activations}, "nuisance": nuisance}
    (warning,) = rules_of_thumb.warnings(make_round(27, **fields, fixed={"optimizer": "adam"}))
    assert warning == (
        "SD10: 9 trials per study are too few to tune Adam's beta1 beside learning_rate; fix it or add trials."
    )
    assert about(rules_of_thumb.warnings(make_round(27, **fields, fixed={"optimizer": "sgd"})), "SD10") == []


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "torch_adam", "torch_adamw", "torch_nadam"])
def test_sd10_speaks_of_every_form_of_adam(make_round, optimizer):
    nuisance = {"learning_rate": RATE, "beta1": ADAM["beta1"]}
    assert about(
        rules_of_thumb.warnings(make_round(9, nuisance=nuisance, fixed={"optimizer": optimizer})), "SD10", "beta1"
    )
    assert rules_of_thumb.warnings(make_round(10, nuisance=nuisance, fixed={"optimizer": optimizer})) == []


def test_ba7_another_batch_size_asks_for_retuning(make_round):
    for fields in ({"fixed": {"batch_size": 128}}, {"scientific": {"batch_size": Discrete([32, 64])}}):
        assert len(about(rules_of_thumb.warnings(make_round(**fields)), "BA7: batch_size changes")) == 1
        assert about(rules_of_thumb.warnings(make_round(nuisance=SOUND, **fields)), "BA7") == []
    assert about(rules_of_thumb.warnings(make_round(fixed={"batch_size": 64})), "BA7") == []
