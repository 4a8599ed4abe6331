"""What a search may learn from (rule QR8): trials of the same workload and space."""

from __future__ import annotations

import pytest

from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.errors import SpaceError
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.types import TrialRecord
from raytune_playbook.search.evidence import Observation, earlier_observations, observations
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec, WorkloadSpec
from raytune_playbook.study.trial import TrialSpec

SPACE: dict[str, Hyperparameter] = {"learning_rate": Float(0.1, 1.0, scale="log"), "depth": Int(1, 8)}

ARM: dict[str, Value] = {"optimizer": "momentum"}


def study(**changes: object) -> StudySpec:
    fields = {
        "name": "all",
        "arm": ARM,
        "space": SPACE,
        "fixed": {"batch_size": 64, "clipping_norm": None},
        "seed": 0,
        "num_trials": 4,
        "objective": Objective(),
        "max_train_steps": 100,
        "evaluation_interval_steps": 10,
        "divergence_factor": 2.0,
        "workload": WorkloadSpec(module="m", name="n", settings={}, source_hash="a"),
        "num_workers": 1,
        "threads_per_worker": 1,
    }
    return StudySpec(**(fields | changes))


def trial(changes: dict[str, object] | None = None, **values: Value) -> Trial:
    own = {"learning_rate": 0.5, "depth": 2, "optimizer": "momentum", "batch_size": 64, "clipping_norm": None}
    fields = {"study": "all", "index": 0, "values": own | values, "outcome": "completed", "objective": 0.25}
    return Trial(**(fields | (changes or {})))


def test_qr8_trials_become_observations_and_crashes_none():
    trials = [
        trial(),
        trial({"outcome": "infeasible", "objective": None}, depth=3),
        trial({"outcome": "failed", "objective": None}),
        trial({"outcome": None, "objective": None}),
        trial({"repeat": 1}),
    ]
    assert observations(SPACE, trials) == [
        Observation({"learning_rate": 0.5, "depth": 2}, 0.25),
        Observation({"learning_rate": 0.5, "depth": 3}, None),
    ]


@pytest.mark.parametrize(
    "elsewhere", [{"learning_rate": 0.09}, {"depth": 9}, {"depth": 2.5}, {"depth": True}, {"depth": None}]
)
def test_qr8_trials_outside_the_refined_space_are_left_out(elsewhere: dict[str, Value]):
    assert observations(SPACE, [trial(**elsewhere)]) == []


@pytest.mark.parametrize("other", [{"batch_size": 32}, {"optimizer": "adam"}, {"clipping_norm": 1.0}])
def test_qr8_earlier_trials_that_differ_in_a_settled_value_are_left_out(other: dict[str, Value]):
    assert len(earlier_observations(study(), ARM, study(), [trial(), trial(**other), trial({"study": "x"})])) == 1


def test_qr8_an_earlier_study_may_have_varied_what_is_fixed_now():
    wide = study(space=SPACE | {"batch_size": Discrete([32, 64])}, fixed={"clipping_norm": None}, seed=5)
    assert len(earlier_observations(study(), ARM, wide, [trial(), trial(batch_size=32)])) == 1


def test_qr8_an_arm_of_a_joint_study_learns_from_its_own_trials_alone():
    adam: dict[str, Value] = {"optimizer": "adam"}
    joint = study(
        arm={},
        arms=(ARM, adam),
        space={
            "depth": Int(1, 8),
            "adam.learning_rate": Float(0.1, 1.0, when=adam),
            "momentum.learning_rate": Float(0.1, 1.0, when=ARM),
        },
        sets={"adam.learning_rate": "learning_rate", "momentum.learning_rate": "learning_rate"},
        fixed={"batch_size": 64, "learning_rate": 0.01},
    )
    qualified = ({"momentum.learning_rate": 0.5, "adam.learning_rate": None}, {"momentum.learning_rate": None})
    trials = [
        trial(**qualified[0]),
        trial(**qualified[1], **{"adam.learning_rate": 0.25, "learning_rate": 0.25}, optimizer="adam"),
    ]
    assert [dict(seen.values) for arm in (ARM, adam) for seen in earlier_observations(joint, arm, joint, trials)] == [
        {"depth": 2, "momentum.learning_rate": 0.5},
        {"depth": 2, "adam.learning_rate": 0.25},
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"max_train_steps": 200},
        {"objective": Objective(metric="loss")},
        {"workload": WorkloadSpec(module="m", name="other", settings={}, source_hash="a")},
    ],
)
def test_qr8_studies_whose_objectives_do_not_compare_are_refused(change: dict[str, object]):
    with pytest.raises(SpaceError, match=f"the same {next(iter(change))} only"):
        earlier_observations(study(), ARM, study(**change), [trial()])


def test_qr8_values_survive_a_table():
    space = {"a": Int(1, 8), "b": Discrete([0.5, 1]), "c": Categorical([None, 32, "x"]), "d": Float(0, 1)}
    given: list[dict[str, Value]] = [
        {"a": 2, "b": 1, "c": None, "d": 0.5},
        {"a": 3, "b": 0.5, "c": 32, "d": 1.0},
        {"a": 4, "b": 1, "c": "x", "d": 0.0},
    ]
    specs = [
        TrialSpec(
            study="all",
            index=index,
            seed=0,
            values=values,
            max_train_steps=1,
            evaluation_interval_steps=1,
            divergence_factor=2.0,
            objective=Objective(),
        )
        for index, values in enumerate(given)
    ]
    table = trials_table([TrialRecord(spec, outcome="completed", objective=1.0) for spec in specs])
    assert [dict(seen.values) for seen in observations(space, trials_of(table))] == given


@pytest.mark.parametrize(
    "kind",
    [
        Int(1, 8),
        Int(-3, 3),
        Int(1, 5000, scale="log"),
        Discrete([32, 64, 128.5]),
        Categorical(["a", None, True, 1]),
    ],
)
def test_to_unit_is_the_inverse_of_from_unit(kind: Hyperparameter):
    num_values = kind.num_values or 0
    values = [kind.from_unit((place + 0.5) / num_values) for place in range(num_values)]
    for value in values:
        unit = kind.to_unit(value)
        assert unit is not None and kind.from_unit(unit) == value
    assert kind.to_unit("nothing like it") is None


@pytest.mark.parametrize("kind", [Float(-1, 3), Float(1e-5, 10, scale="log"), Float(0, 0.9999, scale="log_one_minus")])
def test_to_unit_is_the_inverse_of_from_unit_on_every_scale(kind: Float):
    for unit in (0.0, 0.125, 0.5, 0.9, 1.0):
        assert kind.to_unit(kind.from_unit(unit)) == pytest.approx(unit, abs=1e-9)
    assert (kind.to_unit(kind.low), kind.to_unit(kind.high)) == (0.0, 1.0)
    assert (kind.to_unit(kind.high * 1.01), kind.to_unit(True), kind.to_unit(None)) == (None, None, None)
