"""From a round to its studies, and the rounds that are refused."""

from __future__ import annotations

import pydantic
import pytest

from raytune_playbook.errors import InputError, SpecError
from raytune_playbook.search.suggest import values_at
from raytune_playbook.study.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.round import MAX_ARMS, Round
from raytune_playbook.study.spec import Budget, Objective, Resources

RATE = Float(1e-3, 1.0, scale="log")
ACTIVATION = Categorical(["relu", "tanh", "gelu"])


def test_sd2_what_nobody_mentioned_is_fixed_at_its_default(make_round, workload):
    round_ = make_round(scientific={"activation": ACTIVATION}, nuisance={"learning_rate": RATE}, fixed={"depth": 20})
    expected = dict(workload.hyperparameters()) | {"depth": 20}
    del expected["activation"], expected["learning_rate"]
    assert round_.fixed_values == expected
    for study in round_.studies:
        assert study.fixed == expected
        assert list(study.space) == ["learning_rate"]


def test_sd3_caveats_list_every_fixed_hyperparameter_defaults_included(make_round):
    round_ = make_round(scientific={"activation": ACTIVATION}, nuisance={"learning_rate": RATE}, fixed={"depth": 20})
    assert round_.caveats == sorted(f"{name} = {value}" for name, value in round_.fixed_values.items())
    assert "depth = 20" in round_.caveats
    assert "beta1 = 0.9" in round_.caveats
    assert not any(caveat.startswith(("activation", "learning_rate")) for caveat in round_.caveats)


def test_sd6_one_study_for_each_scientific_value_with_equal_trials(make_round):
    round_ = make_round(12, scientific={"activation": ACTIVATION}, nuisance={"learning_rate": RATE}, seed=5)
    assert [study.name for study in round_.studies] == ["activation=relu", "activation=tanh", "activation=gelu"]
    assert [study.arm for study in round_.studies] == [{"activation": name} for name in ACTIVATION.choices]
    assert [study.num_trials for study in round_.studies] == [4, 4, 4]
    assert {study.seed for study in round_.studies} == {5}
    # The same nuisance points in each: the comparison is paired.
    points = [[values_at(study, i) | {"activation": None} for i in range(4)] for study in round_.studies]
    assert points[0] == points[1] == points[2]


def test_sd6_several_scientific_hyperparameters_make_all_combinations(make_round):
    round_ = make_round(20, scientific={"depth": Int(1, 2), "activation": ACTIVATION})
    assert [study.arm for study in round_.studies] == [
        {"activation": activation, "depth": depth} for activation in ACTIVATION.choices for depth in (1, 2)
    ]
    assert {study.num_trials for study in round_.studies} == {3}
    assert len({study.fingerprint for study in round_.studies}) == 6


def test_sd6_a_continuous_scientific_hyperparameter_is_searched_jointly_in_the_first_dimensions(make_round):
    round_ = make_round(scientific={"momentum": Float(0.5, 0.9)}, nuisance={"learning_rate": RATE, "beta1": RATE})
    (study,) = round_.studies
    assert study.name == "all"
    assert list(study.space) == ["momentum", "beta1", "learning_rate"]


def test_sd6_a_round_without_scientific_hyperparameters_is_one_study(make_round):
    (study,) = make_round(7, nuisance={"learning_rate": RATE}).studies
    assert (study.name, study.arm, study.num_trials) == ("all", {}, 7)


def test_studies_take_over_what_bits_depend_on(make_round):
    budget = Budget(num_trials=2, max_train_steps=77, evaluation_interval_steps=11, divergence_factor=3.0)
    resources = Resources(num_workers=3, cpus_per_worker=2.5)
    objective = Objective(metric="loss", over="last")
    (study,) = make_round(budget=budget, resources=resources, objective=objective, seed=9).studies
    assert (study.max_train_steps, study.evaluation_interval_steps, study.divergence_factor) == (77, 11, 3.0)
    assert (study.num_workers, study.threads_per_worker) == (3, 2)
    assert (study.objective, study.seed) == (objective, 9)
    assert study.workload == make_round().workload.spec()


def test_qr2_order_of_dicts_changes_no_point_and_no_fingerprint(make_round, workload):
    scientific = {"depth": Discrete([2, 8]), "activation": ACTIVATION}
    nuisance = {"learning_rate": RATE, "momentum": Float(0.5, 0.99, scale="log_one_minus"), "beta1": Float(0.1, 0.9)}
    fixed = {"width": 32, "batch_size": 128}
    mentioned = {"scientific": scientific, "nuisance": nuisance, "fixed": fixed}
    a = make_round(18, **mentioned)
    b = make_round(18, **{role: dict(reversed(names.items())) for role, names in mentioned.items()})
    assert a.fingerprint == b.fingerprint
    assert a.caveats == b.caveats
    assert [study.name for study in a.studies] == [study.name for study in b.studies]
    for one, other in zip(a.studies, b.studies, strict=True):
        assert one.fingerprint == other.fingerprint
        assert [values_at(one, i) for i in range(3)] == [values_at(other, i) for i in range(3)]


def test_round_fingerprint_changes_with_what_changes_trials_alone(make_round):
    plain = make_round(nuisance={"learning_rate": RATE})
    others = [
        make_round(nuisance={"learning_rate": RATE}, seed=1),
        make_round(nuisance={"learning_rate": RATE}, name="other"),
        make_round(nuisance={"learning_rate": RATE}, fixed={"depth": 3}),
        make_round(nuisance={"learning_rate": RATE, "momentum": RATE}),
        make_round(nuisance={"learning_rate": RATE}, resources=Resources(num_workers=2)),
    ]
    assert len({round_.fingerprint for round_ in [plain, *others]}) == len(others) + 1
    same = make_round(
        50, nuisance={"learning_rate": RATE}, goal="Another?", notes="n", objective=Objective(metric="loss")
    )
    assert same.fingerprint == plain.fingerprint


@pytest.mark.parametrize("role", ["scientific", "nuisance", "fixed"])
@pytest.mark.parametrize("name", ["max_train_steps", "epochs", "adam.num_epochs"])
def test_sd11_number_of_steps_is_refused_in_every_role(make_round, role, name):
    value = 100 if role == "fixed" else Int(100, 200)
    with pytest.raises(SpecError, match=rf"Round.{role}: '{name}' must not be in a search space.*Budget"):
        make_round(**{role: {name: value}})


def test_ba7_batch_size_is_refused_as_nuisance_but_not_otherwise(make_round):
    with pytest.raises(SpecError, match=r"'batch_size' must not be a nuisance.*training time"):
        make_round(nuisance={"batch_size": Discrete([32, 64])})
    assert len(make_round(scientific={"batch_size": Discrete([32, 64])}).studies) == 2
    assert make_round(fixed={"batch_size": 32}).fixed_values["batch_size"] == 32


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nuisance": {"learning_rat": RATE}}, "PlainWorkload has no 'learning_rat'; did you mean 'learning_rate'?"),
        ({"fixed": {"zzz": 1}}, "PlainWorkload has no 'zzz'; it has activation, batch_size"),
        (
            {"nuisance": {"learning_rate": RATE}, "fixed": {"learning_rate": 0.1}},
            "one role per round, but 'learning_rate' is nuisance and fixed; drop one",
        ),
        (
            {"scientific": {"depth": Int(1, 2)}, "nuisance": {"depth": Int(1, 2)}},
            "'depth' is scientific and nuisance",
        ),
        ({"name": ""}, "Round.name"),
        ({"name": "a/b"}, "make a folder's name, but got 'a/b'; rename it"),
        ({"name": ".."}, "Round.name"),
        ({"name": "ok\n"}, "Round.name"),
        ({"goal": ""}, "Round.goal"),
        ({"workload": object()}, "an instance of a Workload is needed"),
        ({"workload": None}, "an instance of a Workload is needed"),
        ({"seed": -1}, "Round.seed"),
        ({"seed": 2**64}, "Round.seed"),
        ({"seed": "zero"}, "Round.seed"),
        ({"colour": "red"}, "Round has no field 'colour'"),
        ({"nuisance": {"learning_rate": 0.1}}, "Round.nuisance.learning_rate"),
        ({"fixed": {"width": [16]}}, "Round.fixed.width: input should be of type bool or int or float or str"),
        ({"fixed": {"width": RATE}}, "Round.fixed.width"),
        ({"fixed": {"learning_rate": float("nan")}}, "Round.fixed.learning_rate: input should be a finite number"),
        ({"scientific": {"depth": Int(1, MAX_ARMS + 1)}}, f"at most {MAX_ARMS} combinations .* but got 17"),
        (
            {"scientific": {"activation": ACTIVATION, "depth": Int(1, 4), "width": Discrete([1, 2])}},
            f"at most {MAX_ARMS} combinations .* but got 24",
        ),
        ({"num_trials": 2, "scientific": {"activation": ACTIVATION}}, "each of the 3 studies needs at least one trial"),
        ({"scientific": {"width": Categorical([16, "16"])}}, "two would be called 'width=16'"),
        ({"scientific": {"activation": Categorical([None, "None"])}}, "two would be called 'activation=None'"),
        ({"scientific": {"activation": Categorical(["../../elsewhere", "relu"])}}, "must not hold '/'"),
        ({"scientific": {"activation": Categorical(["re\nlu", "relu"])}}, "control characters"),
    ],
)
def test_bad_rounds_are_one_sentence(make_round, fields, words):
    with pytest.raises(SpecError, match=words) as caught:
        make_round(**fields)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_class_of_a_workload_is_not_a_workload(make_round, workload):
    with pytest.raises(SpecError, match=r"an instance of a Workload is needed.*pass an object of it"):
        make_round(workload=type(workload))


def test_missing_fields_are_one_sentence(workload):
    with pytest.raises(InputError, match="Round needs a value for 'budget'; give one"):
        Round(name="round", goal="A goal?", workload=workload)


def test_a_round_is_frozen(make_round):
    with pytest.raises(pydantic.ValidationError):
        make_round().seed = 3
