"""Rules IN1 and UN10: what is proposed where good points gather at an end of a range."""

from __future__ import annotations

import numpy as np
import pytest

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import SearchOver
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.analysis.findings.space.boundary import boundary
from raytune_playbook.analysis.findings.space.instability import limited_by_instability
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete, Float, Hyperparameter, Int
from tests.analysis.findings.generated import Plan, Values, generated
from tests.analysis.findings.space.cases import inside, rounds, unit


def falling(space: dict[str, Hyperparameter], name: str, seed: int = 0, arms: tuple[Values, ...] = ({},)) -> Evidence:
    """The objective falls up to the upper end of one hyperparameter, or of a scientific number."""

    def objective(values: Values, rng: np.random.Generator) -> float:
        at = space[name].to_unit(values[name]) if name in space else float(values[name]) / 8
        return 1.0 - 0.5 * float(at or 0.0) + 0.02 * float(rng.normal())

    return generated(Plan(arms=arms, space=space, trials_per_arm=24, fixed={}), seed, objective)


def test_in1_a_cut_range_is_a_problem_and_the_wider_one_is_proposed() -> None:
    (found,) = boundary(rounds(inside(0) | {"learning_rate": 1.25}, 0, num_trials=30))
    assert found.status is Status.PROBLEM
    assert "learning_rate" in found.sentence
    assert found.proposal is not None
    assert found.proposal.changes == (SearchOver("learning_rate", Float(1e-3, 10.0, scale="log")),)
    assert found.numbers["num_good_at_boundary"] >= 3


def test_in1_the_lower_end_is_one_as_well() -> None:
    (found,) = boundary(rounds(inside(0) | {"learning_rate": -0.25}, 0, num_trials=30))
    assert found.proposal is not None
    assert found.proposal.changes == (SearchOver("learning_rate", Float(1e-4, 1.0, scale="log")),)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("width", Int(16, 256, scale="log"), Int(16, 1024, scale="log")),
        ("width", Discrete([16, 32, 64, 128]), Discrete([16, 32, 64, 128, 256])),
        ("momentum", Float(0.0, 0.9), Float(0.0, 0.95)),
    ],
)
def test_in1_every_kind_of_range_is_widened(name: str, given: Hyperparameter, expected: Hyperparameter) -> None:
    (found,) = boundary(falling({name: given, "weight_decay": Float(1e-6, 1e-2, scale="log")}, name))
    assert found.status is Status.PROBLEM
    assert found.proposal is not None
    assert found.proposal.changes == (SearchOver(name, expected),)


def test_in1_what_is_at_its_natural_limit_passes_and_says_so() -> None:
    (found,) = boundary(falling({"keep": Float(0.0, 1.0)}, "keep"))
    assert found.status is Status.PASSES
    assert "cannot be widened: keep = 0.9" in found.sentence


def test_in1_an_arm_of_its_own_is_named() -> None:
    arms = ({"norm": "batch"}, {"norm": "layer"})

    def objective(values: Values, rng: np.random.Generator) -> float:
        best = 1.25 if values["norm"] == "layer" else 0.4
        return (unit(values, "learning_rate") - best) ** 2 + 0.01 * float(rng.normal())

    (found,) = boundary(generated(Plan(arms=arms, trials_per_arm=30), 0, objective))
    assert found.studies == ("norm=layer",)
    assert "in norm=layer" in found.sentence


def test_in1_the_greatest_scientific_number_is_looked_at() -> None:
    arms = tuple({"depth": depth} for depth in (1, 2, 4, 8))
    (found,) = boundary(falling({"dropout": Float(0.0, 0.5)}, "depth", arms=arms))
    assert found.status is Status.LOOK
    assert "depth, 8, is the largest" in found.sentence


def test_in1_too_few_points_cannot_tell() -> None:
    (found,) = boundary(rounds(inside(0), 0, num_trials=4))
    assert found.status is Status.CANNOT_TELL


def test_un10_instability_is_no_narrow_range() -> None:
    """Only the learning rates that are infeasible lie above the best: nothing is widened."""
    evidence = rounds(inside(0) | {"learning_rate": 0.9}, 0, unstable_above=0.7, num_trials=30)
    assert [finding.status for finding in boundary(evidence)] == [Status.PASSES]
    (found,) = limited_by_instability(evidence)
    assert found.status is Status.LOOK
    assert "above" in found.sentence
    assert found.proposal is not None
    assert not found.proposal.changes
    assert "warmup" in found.proposal.sentence
    assert "(raytune-playbook stability ROUND)" in found.proposal.sentence


def test_un10_few_infeasible_trials_at_the_very_end_are_instability_as_well() -> None:
    evidence = rounds(inside(0) | {"learning_rate": 1.2}, 0, unstable_above=0.98, num_trials=150)
    assert [finding.status for finding in boundary(evidence)] == [Status.PASSES]
    (found,) = limited_by_instability(evidence)
    assert found.status is Status.LOOK


def test_un10_a_wall_far_above_the_best_passes() -> None:
    evidence = rounds(inside(0) | {"learning_rate": 0.3}, 0, unstable_above=0.8, num_trials=30)
    (found,) = limited_by_instability(evidence)
    assert found.status is Status.PASSES
    assert "well below" in found.sentence
