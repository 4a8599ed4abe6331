"""From a round to its studies, and the rounds that are refused."""

from __future__ import annotations

import pydantic
import pytest

from raytune_playbook.errors import InputError, SpecError
from raytune_playbook.search.suggest import values_at
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget, Objective, Resources

SIZES = Discrete([32, 64])
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
    scientific = {"depth": Int(1, 2), "activation": ACTIVATION}
    round_ = make_round(20, scientific=scientific, nuisance={"learning_rate": RATE})
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


def test_sd6_too_many_scientific_values_share_one_study_that_samples_them_evenly(make_round):
    round_ = make_round(50, scientific={"depth": Int(1, 20)}, nuisance={"learning_rate": RATE})
    (study,) = round_.studies
    assert (study.name, study.num_trials, study.arm) == ("joint", 50, {})
    depths = [values_at(study, index)["depth"] for index in range(50)]
    for prefix in range(1, 51):
        counts = [depths[:prefix].count(depth) for depth in range(1, 21)]
        assert max(counts) - min(counts) <= 1
    assert depths[:20] != sorted(depths[:20])


def test_sd6_each_arm_of_a_joint_study_fills_the_nuisance_space_with_points_of_its_own(make_round):
    nuisance = {"momentum": Float(0.0, 1.0), "beta1": Float(0.0, 1.0)}
    (study,) = make_round(20 * 36, scientific={"depth": Int(1, 20)}, nuisance=nuisance).studies
    points = [values_at(study, index) for index in range(study.num_trials)]
    assert len({point["momentum"] for point in points}) == study.num_trials
    for depth in range(1, 21):
        own = [(point["beta1"], point["momentum"]) for point in points if point["depth"] == depth]
        # Bases 2 and 3: any 4 points in a row lie in 4 quarters, any 9 in 9 ninths, but for where the stretch begins.
        assert len({int(4 * beta1) for beta1, _ in own[:8]}) == 4
        assert len({int(9 * momentum) for _, momentum in own[:18]}) == 9
        assert len({(int(2 * beta1), int(3 * momentum)) for beta1, momentum in own[:12]}) == 6


def test_sd6_an_int_of_very_many_values_is_sampled_and_not_compared_one_by_one(make_round):
    (study,) = make_round(scientific={"width": Int(1, 100_000)}, nuisance={"learning_rate": RATE}).studies
    assert list(study.space) == ["width", "learning_rate"]


def test_sd5_hyperparameters_of_one_scientific_value_exist_under_it_alone(make_round):
    nuisance = {
        "adam.learning_rate": Float(1e-4, 1e-2, scale="log", when={"optimizer": "adam"}),
        "beta1": Float(0.8, 0.99, when={"optimizer": "adam"}),
        "plain.learning_rate": Float(1e-2, 1.0, scale="log", when={"optimizer": ["momentum", "nesterov"]}),
        "weight_decay": RATE,
    }
    optimizers = Categorical(["adam", "momentum", "nesterov"])
    round_ = make_round(30, scientific={"optimizer": optimizers}, nuisance=nuisance)
    adam, momentum, nesterov = round_.studies
    assert list(adam.space) == ["adam.learning_rate", "beta1", "weight_decay"]
    assert list(momentum.space) == list(nesterov.space) == ["plain.learning_rate", "weight_decay"]
    for index in range(10):
        values = values_at(adam, index)
        assert values["learning_rate"] == values["adam.learning_rate"] <= 1e-2
        assert values["plain.learning_rate"] is None
        values = values_at(momentum, index)
        assert values["learning_rate"] == values["plain.learning_rate"] >= 1e-2
        assert values["adam.learning_rate"] is None
        assert values["beta1"] is None
    # What is set under every scientific value is no caveat.
    assert not any(caveat.startswith("learning_rate") for caveat in round_.caveats)


def test_sd5_a_condition_on_some_values_leaves_the_default_under_the_others(make_round):
    nuisance = {"deep.learning_rate": Float(1e-4, 1e-2, when={"depth": 2}), "weight_decay": RATE}
    round_ = make_round(8, scientific={"depth": Int(1, 2)}, nuisance=nuisance, fixed={"learning_rate": 0.3})
    shallow, deep = round_.studies
    assert values_at(shallow, 0)["learning_rate"] == 0.3
    assert values_at(deep, 0)["learning_rate"] <= 1e-2
    assert "learning_rate = 0.3" in round_.caveats


def test_sd5_a_scientific_hyperparameter_may_depend_on_another(make_round):
    scientific = {
        "optimizer": Categorical(["momentum", "adam"]),
        "activation": Categorical(["relu", "tanh"], when={"optimizer": "adam"}),
    }
    round_ = make_round(9, scientific=scientific, nuisance={"learning_rate": RATE})
    assert round_.arms == [
        {"activation": None, "optimizer": "momentum"},
        {"activation": "relu", "optimizer": "adam"},
        {"activation": "tanh", "optimizer": "adam"},
    ]


def test_sd5_branches_of_a_joint_study_share_their_dimensions(make_round):
    nuisance = {
        "deep.learning_rate": Float(0.0, 1.0, when={"depth": list(range(11, 21))}),
        "shallow.learning_rate": Float(0.0, 1.0, when={"depth": list(range(1, 11))}),
    }
    (study,) = make_round(40, scientific={"depth": Int(1, 20)}, nuisance=nuisance).studies
    rates = {values["depth"]: values["learning_rate"] for values in (values_at(study, i) for i in range(20))}
    # Both use the first dimension, of base 2: of 20 values about half lie in each half, and in each branch too.
    assert all(3 <= sum(rates[depth] < 0.5 for depth in branch) <= 7 for branch in (range(1, 11), range(11, 21)))


def test_sd7_a_study_can_be_an_explicit_list_of_configurations(make_round):
    listed = [{"learning_rate": 0.1, "momentum": 0.5}, {"learning_rate": 0.03, "momentum": 0.9}]
    round_ = make_round(100, scientific={"activation": Categorical(["relu", "tanh"])}, configurations=listed)
    assert [study.num_trials for study in round_.studies] == [2, 2]
    for study in round_.studies:
        assert [{name: values_at(study, i)[name] for name in listed[0]} for i in range(2)] == listed
        assert study.space == {"learning_rate": Discrete([0.03, 0.1]), "momentum": Discrete([0.5, 0.9])}
    with pytest.raises(InputError, match="has no number 2"):
        values_at(round_.studies[0], 2)


@pytest.mark.parametrize(
    ("space", "num_trials", "shape"),
    [
        ({"learning_rate": RATE}, 7, (7,)),
        ({"depth": Int(1, 3)}, 7, (3,)),
        ({"learning_rate": RATE, "momentum": Float(0, 1)}, 26, (5, 5)),
        ({"depth": Int(1, 3), "learning_rate": RATE}, 26, (3, 8)),
        ({"beta1": RATE, "depth": Int(1, 3)}, 26, (8, 3)),
        ({"depth": Int(1, 3), "width": Int(1, 2)}, 26, (3, 2)),
    ],
)
def test_qr7_a_grid_is_the_largest_even_one_that_the_budget_pays_for(make_round, space, num_trials, shape):
    (study,) = make_round(num_trials, nuisance=space, search="grid").studies
    assert study.grid == shape
    points = [values_at(study, index) for index in range(study.num_trials)]
    for name, size in zip(study.space, shape, strict=True):
        hyperparameter = study.space[name]
        values = sorted({point[name] for point in points})
        assert len(values) == size
        if isinstance(hyperparameter, Float):
            assert (values[0], values[-1]) == (pytest.approx(hyperparameter.low), pytest.approx(hyperparameter.high))
    assert len({tuple(point.items()) for point in points}) == study.num_trials


def test_qr7_random_search_is_uniform_and_addressable(make_round):
    space = {"momentum": Float(0.0, 1.0), "depth": Int(1, 4)}
    (study,) = make_round(1000, nuisance=space, search="random").studies
    points = [values_at(study, index) for index in range(1000)]
    momenta = sorted(point["momentum"] for point in points)
    # Kolmogorov's bound at a level of one in a thousand.
    assert max(abs(value - i / 1000) for i, value in enumerate(momenta)) < 1.95 / 1000**0.5
    assert all(200 < [point["depth"] for point in points].count(depth) < 300 for depth in range(1, 5))
    (more,) = make_round(5, nuisance=space | {"width": Int(1, 3)}, search="random").studies
    assert values_at(more, 3)["momentum"] == points[3]["momentum"]  # a dimension changes no other


@pytest.mark.parametrize("search", ["halton", "random"])
def test_qr4_a_small_finite_space_is_searched_without_repeating_a_point(make_round, search):
    space = {"depth": Int(1, 5), "width": Discrete([8, 16]), "activation": ACTIVATION}
    (study,) = make_round(1000, nuisance=space, search=search).studies
    assert study.num_trials == 30
    points = [tuple(values_at(study, index).items()) for index in range(30)]
    assert len(set(points)) == 30
    (fewer,) = make_round(4, nuisance=space, search=search).studies
    assert [tuple(values_at(fewer, index).items()) for index in range(4)] == points[:4]
    with pytest.raises(InputError, match=r"space of 30 point\(s\) has no point 30"):
        values_at(study, 30)


def test_a_joint_study_of_finite_arms_ends_when_their_points_do(make_round):
    nuisance = {"momentum": Discrete([0.5, 0.9], when={"depth": [1, 2, 3]})}
    (study,) = make_round(100, scientific={"depth": Int(1, 20)}, nuisance=nuisance).studies
    assert study.num_trials == 17 + 3 * 2
    points = {(values["depth"], values["momentum"]) for values in (values_at(study, i) for i in range(23))}
    assert len(points) == 23
    with pytest.raises(InputError, match="has no point 23"):
        values_at(study, 23)


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


@pytest.mark.parametrize(
    "tuned",
    [
        {"nuisance": {"batch_size": SIZES}},
        {"nuisance": {"batch_size": SIZES.model_copy(update={"when": {"depth": (2,)}})}},
        {"nuisance": {"big.batch_size": SIZES.model_copy(update={"when": {"depth": (2,)}})}},
        {"configurations": [{"batch_size": 32}, {"batch_size": 64}]},
    ],
    ids=["plain", "conditional", "qualified", "listed"],
)
def test_ba7_batch_size_is_refused_as_nuisance_under_every_name(make_round, tuned):
    with pytest.raises(SpecError, match=r"batch_size' must not be a nuisance.*training time"):
        make_round(scientific={"depth": Int(1, 2)}, **tuned)


def test_ba7_batch_size_may_be_compared_or_fixed(make_round):
    assert len(make_round(scientific={"batch_size": SIZES}).studies) == 2
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
        (
            {"scientific": {"depth": Int(1, 200), "width": Int(1, 60)}},
            "at most 10,000 combinations .* but got 12,000",
        ),
        (
            {"nuisance": {"momentum": Float(0, 1, when={"optimiser": "adam"})}},
            r"momentum: `when` names a scientific hyperparameter of the round, but got 'optimiser', and those are none",
        ),
        (
            {"nuisance": {"momentum": Float(0, 1, when={"width": 3})}, "fixed": {"width": 3}},
            "`when` names a scientific hyperparameter",
        ),
        (
            {"scientific": {"depth": Float(1, 2)}, "nuisance": {"momentum": Float(0, 1, when={"depth": 1.5})}},
            "and depth has a continuous range; name values of it",
        ),
        (
            {"scientific": {"depth": Int(1, 2)}, "nuisance": {"momentum": Float(0, 1, when={"depth": 3})}},
            r"but got \[3\], and depth has only \[1, 2\]",
        ),
        (
            {"scientific": {"depth": Int(1, 2)}, "nuisance": {"momentum": Float(0, 1, when={"depth": []})}},
            r"but got \[\]",
        ),
        (
            {
                "scientific": {
                    "depth": Int(1, 2, when={"width": 1}),
                    "width": Int(1, 2, when={"activation": "relu"}),
                    "activation": Categorical(["relu", "tanh"], when={"depth": 2}),
                }
            },
            "in a circle, but activation -> depth -> width -> activation do; drop one",
        ),
        (
            {"nuisance": {"adam.learning_rate": RATE}},
            "'adam.learning_rate' has no `when`; give one, or call it 'learning_rate'",
        ),
        (
            {
                "scientific": {"depth": Int(1, 2)},
                "nuisance": {
                    "deep.learning_rate": Float(0, 1, when={"depth": 2}),
                    "any.learning_rate": Float(0, 1, when={"depth": [1, 2]}),
                },
            },
            r"any.learning_rate and deep.learning_rate set 'learning_rate' under \{'depth': 2\}",
        ),
        ({"configurations": [{"width": 1}], "nuisance": {"depth": Int(1, 2)}}, "also has nuisance hyperparameters"),
        ({"configurations": [{"width": 1}], "search": "random"}, "also has search='random'"),
        ({"configurations": [{"width": 1}, {"depth": 1}]}, r"number 0 gives \['width'\] and number 1 \['depth'\]"),
        ({"configurations": [{"width": 1}, {"width": 1}]}, r"but \{'width': 1\} stands twice"),
        ({"configurations": [{}]}, "each must give the same hyperparameters"),
        ({"configurations": [{"batch_size": 1}]}, "'batch_size' must not be a nuisance hyperparameter"),
        ({"configurations": [{"widht": 1}]}, "did you mean 'width'"),
        ({"search": "grid"}, "a grid serves one or two dimensions.*'all' has 0; use search='halton'"),
        ({"search": "grid", "nuisance": {"momentum": RATE, "beta1": RATE, "beta2": RATE}}, "'all' has 3"),
        ({"search": "grid", "scientific": {"depth": Int(1, 20)}, "nuisance": {"momentum": RATE}}, "joint study of 20"),
        ({"search": "sobol"}, "Round.search"),
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
