"""Changes made to a round: what they are about differs, all else stays."""

from __future__ import annotations

import random

import pytest

from raytune_playbook.analysis.findings.changes import Change, Drop, Fix, NumTrials, SearchOver, TrainSteps
from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.propose.applied import applied
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int, is_same
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget
from raytune_playbook.workloads.digits import DigitsResNet
from tests.procedures.propose.rounds import next_study, random_changes, random_round

RATE = Float(0.01, 1.0, scale="log")


def round_(**fields: object) -> Round:
    given: dict[str, object] = {
        "name": "first",
        "goal": "Is it?",
        "workload": DigitsResNet(),
        "scientific": {"batch_norm": Categorical(["device", "sync", "ghost"])},
        "nuisance": {"learning_rate": RATE},
        "budget": Budget(num_trials=13, max_train_steps=100, evaluation_interval_steps=20),
        "reasons": {"momentum": "It was swept.", "weight_decay": "It is small."},
        "seed": 7,
    }
    return Round(**given | fields)


OPTIMIZERS = {
    "scientific": {"optimizer": Categorical(["momentum", "adam", "nadam"])},
    "nuisance": {
        "momentum.learning_rate": Float(0.01, 1.0, scale="log", when={"optimizer": "momentum"}),
        "adam.learning_rate": Float(1e-4, 0.1, scale="log", when={"optimizer": ["adam", "nadam"]}),
        "momentum": Float(0.5, 0.99, when={"optimizer": "momentum"}),
    },
    "reasons": {"adam.learning_rate": "It matters."},
}


def after(old: Round, *changes: Change) -> Round:
    return applied(old, next_study(changes), "second")


def test_in16_what_no_change_is_about_stays() -> None:
    old = round_()
    new = after(old, SearchOver("learning_rate", Float(0.01, 3.0, scale="log")))
    kept = old.model_copy(update={"name": "second", "nuisance": {"learning_rate": Float(0.01, 3.0, scale="log")}})
    assert new.model_dump() == kept.model_dump()
    assert new.workload is old.workload


def test_what_was_fixed_is_searched_and_its_reason_is_none_any_more() -> None:
    new = after(round_(fixed={"momentum": 0.8}), SearchOver("momentum", Float(0.5, 0.99)))
    assert new.nuisance == {"learning_rate": RATE, "momentum": Float(0.5, 0.99)}
    assert new.fixed == {}
    assert new.reasons == {"weight_decay": "It is small."}


def test_what_was_searched_is_fixed_and_has_its_finding_as_the_reason() -> None:
    new = after(round_(), Fix("learning_rate", 0.1))
    assert new.nuisance == {}
    assert new.fixed == {"learning_rate": 0.1}
    assert new.reasons == {**round_().reasons, "learning_rate": "It was seen."}


def test_a_condition_stays_with_another_range_and_with_a_single_value() -> None:
    rate = Float(1e-5, 1.0, scale="log")
    new = after(round_(**OPTIMIZERS), SearchOver("adam.learning_rate", rate), Fix("momentum", 0.9))
    when = {"optimizer": ["adam", "nadam"]}
    assert new.nuisance["adam.learning_rate"] == rate.model_copy(update={"when": when})
    assert new.nuisance["momentum"] == Discrete([0.9], when={"optimizer": "momentum"})


def test_sd5_what_exists_under_a_value_that_is_dropped_goes_with_it() -> None:
    old = round_(**OPTIMIZERS)
    two = after(old, SearchOver("momentum", Float(0.8, 0.9)), Drop("optimizer", ("momentum",)))
    assert two.scientific == {"optimizer": Categorical(["adam", "nadam"])}
    assert two.nuisance == {"adam.learning_rate": old.nuisance["adam.learning_rate"]}
    assert two.budget.num_trials == 8  # four for each, as before
    (one,) = after(old, Drop("optimizer", ("momentum", "nadam"))).studies
    assert one.space == {"learning_rate": Float(1e-4, 0.1, scale="log")}  # it always exists, under its own name
    assert one.fixed["optimizer"] == "adam"
    assert after(old, Fix("optimizer", "adam")).reasons == {"learning_rate": "It matters."}


def test_sd5_what_is_compared_under_a_value_alone_goes_with_it() -> None:
    rates = Discrete([0.8, 0.9], when={"optimizer": "momentum"})
    old = round_(scientific={"optimizer": Categorical(["momentum", "adam"]), "momentum": rates})
    for changes in ([Drop("momentum", (0.8,)), Drop("optimizer", ("momentum",))], [Drop("optimizer", ("momentum",))]):
        for order in (changes, changes[::-1]):
            new = after(old, *order)
            assert (new.scientific, new.fixed) == ({}, {"optimizer": "adam"})


def test_values_of_whole_numbers_are_dropped() -> None:
    new = after(round_(scientific={"depth": Int(2, 5)}), Drop("depth", (3,)))
    assert new.scientific == {"depth": Discrete([2, 4, 5])}
    with pytest.raises(SpecError, match="'learning_rate' compares none"):
        after(round_(), Drop("learning_rate", (0.1,)))


def test_sd7_listed_configurations_become_a_search_over_their_values() -> None:
    listed = [{"learning_rate": rate, "momentum": 0.9} for rate in (0.1, 0.3)]
    old = round_(nuisance={}, configurations=listed)
    new = after(old, SearchOver("weight_decay", Float(1e-5, 1e-2, scale="log")))
    assert new.configurations == ()
    assert set(new.nuisance) == {"learning_rate", "weight_decay"}
    assert new.nuisance["learning_rate"] == Discrete([0.1, 0.3])
    assert new.fixed == {"momentum": 0.9}
    fixed = after(old, Fix("learning_rate", 0.2))
    assert fixed.configurations == ({"momentum": 0.9},)


def test_sd9_every_study_keeps_its_number_of_trials() -> None:
    assert after(round_(), NumTrials(10)).budget.num_trials == 30
    assert after(round_(), Drop("batch_norm", ("ghost",))).budget.num_trials == 8
    joint = round_(scientific={"width": Int(1, 20)}, budget=round_().extended(40).budget)
    assert after(joint, NumTrials(100)).budget.num_trials == 100
    assert after(joint, Drop("width", tuple(range(11, 21)))).budget.num_trials == 20
    assert after(round_(), SearchOver("batch_norm", Categorical(["device", "sync"]))).budget.num_trials == 8


def test_qr7_a_grid_that_no_grid_serves_any_more_is_a_halton_sequence() -> None:
    old = round_(search="grid")
    assert after(old, SearchOver("momentum", Float(0.5, 0.99))).search == "grid"
    more = [SearchOver("momentum", Float(0.5, 0.99)), SearchOver("weight_decay", Float(0.0, 0.1))]
    assert after(old, *more).search == "halton"
    assert after(old, Fix("learning_rate", 0.1)).search == "halton"


def test_all_trials_are_trained_for_as_many_steps() -> None:
    assert {study.max_train_steps for study in after(round_(), TrainSteps(400)).studies} == {400}


def test_any_changes_of_any_round_make_a_round_in_which_they_hold() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        old = random_round(rng, DigitsLike())
        changes = random_changes(rng, old)
        new, space = after(old, *changes), {**old.tuned, **old.scientific}
        gone = {change.name for change in changes if isinstance(change, Fix | Drop) and change.name in old.scientific}
        for change in changes:
            match change:
                case TrainSteps(steps):
                    assert new.budget.max_train_steps == steps
                case Drop(name, values):
                    arms = [arm[name] for arm in new.arms if name in arm]
                    assert not any(is_same(arm, value) for arm in arms for value in values if arm is not None)
                case Fix(name, value) if "." not in name and not (gone and space[name].when):
                    assert not any(study.space[name].num_values != 1 for study in new.studies if name in study.space)
                    fixed = [study.fixed[name] for study in new.studies if name in study.fixed]
                    assert all(given is None or is_same(given, value) for given in fixed)
                case SearchOver(name, hyperparameter) if not gone and name in new.space:
                    assert new.space[name] == hyperparameter.model_copy(update={"when": new.space[name].when})


class DigitsLike(DigitsResNet):
    """With the hyperparameters that random rounds have."""

    def defaults(self) -> dict[str, bool | int | float | str | None]:
        own = {"alpha": 0.5, "gamma": 1.0, "layers": 3, "width": 16, "kind": "a", "twice": False, "nothing": None}
        return {**super().defaults(), **own}
