"""Rule AD5: what a launch changes, and the path from the incumbent to the candidate."""

from __future__ import annotations

from itertools import pairwise

from raytune_playbook import Budget, Categorical, Discrete, Float, Round
from raytune_playbook.procedures.launch.configuration import (
    Configuration,
    changes,
    configuration_of,
    initial_configuration,
    path,
    round_of,
)
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.workloads.tabular import BreastCancer


def a_round(**fields: object) -> Round:
    return Round(
        **{
            "name": "r",
            "goal": "Which one?",
            "workload": BreastCancer(),
            "nuisance": {"learning_rate": Float(0.01, 1.0, scale="log"), "dropout": Float(0.1, 0.5)},
            "fixed": {"width": 8},
            "budget": Budget(num_trials=4, max_train_steps=40, evaluation_interval_steps=10),
            **fields,
        }
    )


def differing(was: Configuration, now: Configuration) -> set[str]:
    names = {name for name in was.values.keys() | now.values.keys() if was.values.get(name) != now.values.get(name)}
    return names | ({"max_train_steps"} if was.max_train_steps != now.max_train_steps else set())


def test_ad5_the_path_makes_one_change_at_a_time_and_ends_at_the_candidate() -> None:
    initial = initial_configuration(a_round())
    now = Configuration({**initial.values, "learning_rate": 0.3, "dropout": 0.2, "depth": 3}, 80, 20)
    found, walked = changes(initial, now), path(initial, now)
    assert [change.names for change in found] == [("max_train_steps",), ("depth",), ("learning_rate",), ("dropout",)]
    assert (walked[0], walked[-1]) == (initial, now)
    for change, (before, after) in zip(found, pairwise(walked), strict=True):
        assert differing(before, after) == set(change.names)
    assert found[2].text == "learning_rate: 0.01 -> 0.3"


def test_ad5_an_optimizer_changes_with_its_own_hyperparameters() -> None:
    initial = initial_configuration(a_round())
    values = {"optimizer": "adam", "learning_rate": 0.001, "beta1": 0.8, "schedule": "linear", "decay_steps": 20}
    now = Configuration({**initial.values, **values}, 40, 10)
    assert [change.names for change in changes(initial, now)] == [
        ("optimizer", "beta1", "learning_rate"),
        ("schedule", "decay_steps"),
    ]


def test_ad5_the_initial_configuration_has_what_was_fixed_and_the_defaults_of_what_varied() -> None:
    initial = initial_configuration(a_round())
    defaults = BreastCancer().hyperparameters()
    assert initial.values == {**defaults, "width": 8}


def test_ad5_a_conditional_hyperparameter_counts_under_the_name_that_it_sets() -> None:
    round_ = a_round(
        scientific={"optimizer": Categorical(["momentum", "adam"])},
        nuisance={
            "momentum.learning_rate": Float(0.01, 1.0, scale="log", when={"optimizer": "momentum"}),
            "adam.learning_rate": Float(1e-4, 0.01, scale="log", when={"optimizer": "adam"}),
        },
    )
    (adam,) = (study for study in round_.studies if study.arm["optimizer"] == "adam")
    values = suggest(adam, 1).values
    found = configuration_of(round_, values)
    assert found.values["learning_rate"] == values["adam.learning_rate"]
    assert found.values.keys() == round_.defaults.keys()


def test_ad5_a_round_of_one_configuration_trains_exactly_that() -> None:
    round_ = a_round(fixed={"width": 8, "batch_size": 16})
    now = Configuration({**initial_configuration(round_).values, "batch_size": 64, "dropout": 0.3}, 80, 20)
    alone = round_of(round_, now, "Alone")
    (study,) = alone.studies
    spec = suggest(study, 0)
    assert (study.num_trials, study.num_points) == (1, 1)
    assert configuration_of(alone, spec.values) == now
    assert (alone.objective, alone.resources) == (round_.objective, round_.resources)


def test_ad7_a_round_of_other_divisions_trains_one_configuration_in_each() -> None:
    round_ = a_round()
    now = configuration_of(round_, suggest(round_.studies[0], 2).values)
    others: dict[str, Hyperparameter] = {"data_split": Discrete([1, 2, 3])}
    divided = round_of(round_, now, "Divided", others)
    trained = [configuration_of(divided, suggest(study, 0).values) for study in divided.studies]
    assert [study.num_trials for study in divided.studies] == [1, 1, 1]
    assert [each.values["data_split"] for each in trained] == [1, 2, 3]
    for each in trained:
        assert differing(each, now) == {"data_split"}
