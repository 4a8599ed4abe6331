"""Rule LN7: the number of steps that an earlier round had is questioned where what it trains is another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.evidence import EarlierRound
from raytune_playbook.analysis.findings.comparison.step_count import step_count
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.study import WorkloadSpec
from tests.analysis.findings.generated import WORKLOAD, Plan, generated

FIXED = {"batch_size": 128, "dropout": 0.1, "weight_decay": 0.0, "depth": 20, "activation": "relu", "width": 64}
OTHERS = {name: value for name, value in FIXED.items() if name != "depth"}
SPACE = {"learning_rate": Float(1e-3, 1.0, scale="log")}


def round_of(fixed=(), space=(), arms=({},), **plan):
    """A round of the workload; what is searched or scientific is not fixed."""
    space, fixed = SPACE | dict(space), FIXED | dict(fixed)
    kept = {name: value for name, value in fixed.items() if name not in space and name not in arms[0]}
    plan = Plan(arms=arms, space=space, fixed=kept, trials_per_arm=2, **plan)
    return generated(plan, 0, lambda values, rng: float(rng.uniform()))


def earlier(name="first", **options):
    evidence = round_of(**options)
    return EarlierRound(name, evidence.studies, evidence.examples)


def found_in(now, *before):
    (found,) = step_count(replace(now, earlier=before))
    return found


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({}, {"fixed": {"batch_size": 32}}, "batch_size is 32 (was 128)"),
        ({}, {"space": {"batch_size": Discrete([64, 256])}}, "batch_size is 64 to 256 (was 128)"),
        ({}, {"fixed": {"dropout": 0.5}}, "dropout is 0.5 (was 0.1)"),
        ({}, {"space": {"dropout": Float(0.0, 0.3)}}, "dropout is 0 to 0.3 (was 0.1)"),
        ({}, {"fixed": {"depth": 10}}, "depth is 10 (was 20)"),
        ({"space": {"depth": Int(5, 20)}}, {"fixed": {"depth": 21}}, "depth is 21 (was 5 to 20)"),
        ({}, {"fixed": {"activation": "tanh"}}, "activation is tanh (was relu)"),
        ({}, {"arms": ({"activation": "relu"}, {"activation": "tanh"})}, "activation is relu or tanh (was relu)"),
        ({}, {"fixed": {"shift_pixels": 2}}, "shift_pixels is new (2)"),
        (
            {"fixed": {"data_augmentation": False}},
            {"fixed": {"data_augmentation": True}},
            "data_augmentation is True (was False)",
        ),
    ],
)
def test_ln7_noisier_gradients_and_another_architecture_ask_for_another_number_of_steps(before, now, said):
    found = found_in(round_of(**now), earlier(**before))
    assert found.status is Status.LOOK
    assert found.sentence == (
        f"The 1,000 steps are those of first, but what they train is not the same: {said}. Another number may suit it."
    )
    assert found.numbers == {"max_train_steps": 1000, "num_changes": 1}
    assert found.proposal is not None
    assert found.proposal.changes == ()


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {}),
        ({}, {"fixed": {"batch_size": 256}}),
        ({}, {"fixed": {"dropout": 0.0}}),
        ({}, {"fixed": {"weight_decay": 0.1, "zero_residual": False}}),
        ({"fixed": {"label_smoothing": 0.0}}, {"fixed": {"label_smoothing": 0.2}}),
        ({}, {"space": {"learning_rate": Float(1e-5, 10.0, scale="log")}}),
        ({"space": {"depth": Int(5, 20)}}, {"fixed": {"depth": 10}}),
        ({"space": {"activation": Categorical(["relu", "tanh"])}}, {"fixed": {"activation": "tanh"}}),
        ({"arms": ({"activation": "relu"}, {"activation": "tanh"})}, {"fixed": {"activation": "tanh"}}),
    ],
)
def test_ln7_less_noise_tuning_and_what_was_tried_then_change_nothing(before, now):
    found = found_in(round_of(**now), earlier(**before))
    assert found.status is Status.PASSES
    assert found.sentence.startswith("first trained the same for 1,000 steps")


def test_ln7_the_closest_earlier_round_counts_and_of_equally_close_ones_the_latest():
    wide = earlier("wide", fixed={"width": 256, "depth": 30})
    found = found_in(
        round_of(), wide, earlier("small", fixed={"batch_size": 512}), earlier("other", fixed={"depth": 9})
    )
    assert "those of other" in found.sentence
    assert found_in(round_of(), earlier("same"), wide).status is Status.PASSES


def test_ln7_other_data_are_told_by_settings_and_by_numbers():
    workload = WorkloadSpec(**WORKLOAD.model_dump() | {"settings": {"window": 64}})
    now = round_of()
    other = tuple(study.model_copy(update={"workload": workload}) for study in now.studies)
    found = found_in(replace(now, studies=other), earlier())
    assert "the workload's window is 64, not none" in found.sentence
    fewer = now.examples.model_copy(update={"num_examples": {"train": 500, "validation": 1000}})
    found = found_in(replace(now, examples=fewer), earlier())
    assert "there are 500 training examples, not 10,000" in found.sentence
    assert found_in(replace(now, examples=None), earlier()).status is Status.PASSES


def test_ln7_without_an_earlier_round_the_number_is_this_ones_own_and_of_other_tools_it_is_not_known():
    assert found_in(round_of()).status is Status.PASSES
    (unknown,) = step_count(round_of())
    assert unknown.status is Status.CANNOT_TELL


def test_ln7_many_changes_are_counted():
    many = {"batch_size": 16, "dropout": 0.2, "depth": 3, "activation": "gelu", "width": 8, "heads": 4}
    found = found_in(round_of(fixed=many), earlier())
    assert found.numbers["num_changes"] == 6
    assert "; and 2 more. " in found.sentence


@pytest.mark.parametrize(
    "change",
    [
        {"arms": ({"depth": 10}, {"depth": 20})},  # a joint study's
        {"configurations": ({"learning_rate": 0.1, "depth": 10},)},
        {"fixed": OTHERS | {"net.depth": 10}, "sets": {"net.depth": "depth"}},
    ],
)
def test_ln7_what_was_tried_stands_at_several_places_of_a_study(change):
    now = round_of()
    (study,) = now.studies
    other = study.model_copy(update={"fixed": OTHERS} | change)
    assert "depth is 10" in found_in(replace(now, studies=(other,)), earlier()).sentence
    assert found_in(round_of(fixed={"depth": 10}), EarlierRound("first", (other,))).status is Status.PASSES
