"""Whether a space is ready for Bayesian optimization (rule QR9)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from raytune_playbook.errors import SpaceError
from raytune_playbook.search import halton
from raytune_playbook.search.evidence import Observation
from raytune_playbook.search.refinement import require_refined
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int

X = Float(0, 1)


def explored(kind: Hyperparameter, best_unit: float, num_points: int = 20) -> list[Observation]:
    """Trials whose objective is the distance from ``best_unit``, on the hyperparameter's own scale."""
    units = [float(unit) for [unit] in halton.points(num_points - 1, 1, 0)]
    return [Observation({"x": kind.from_unit(unit)}, abs(unit - best_unit)) for unit in [*units, best_unit]]


@pytest.mark.parametrize(
    ("kind", "inside", "near", "end"),
    [
        (Float(0, 1), 0.06, 0.04, "low end 0 "),
        (Float(0, 1), 0.94, 0.96, "high end 1 "),
        (Float(1e-4, 1, scale="log"), 0.06, 0.04, "low end 0.0001 "),
        (Float(0, 0.999, scale="log_one_minus"), 0.94, 0.96, "high end 0.999 "),
        (Int(1, 8), 0.2, 0.1, "low end 1 "),
        (Int(1, 1000, scale="log"), 0.94, 0.96, "high end 1000 "),
        (Discrete([32, 64, 128]), 0.5, 0.9, "high end 128 "),
    ],
)
def test_qr9_a_best_trial_near_a_boundary_is_refused(kind: Hyperparameter, inside: float, near: float, end: str):
    assert require_refined({"x": kind}, explored(kind, inside), "minimize") == []
    with pytest.raises(SpaceError, match=f"its x=.* is at or near the {end}of its range .*; expand the range"):
        require_refined({"x": kind}, explored(kind, near), "minimize")


@pytest.mark.parametrize("kind", [Categorical(["a", "b", "c"]), Discrete([0, 1]), Int(0, 1)])
def test_qr9_choices_without_an_inside_have_no_boundary(kind: Hyperparameter):
    assert require_refined({"x": kind}, explored(kind, 0.01), "minimize") == []


def test_qr9_the_best_is_that_of_the_goal():
    seen = [Observation(each.values, -(each.objective or 0.0)) for each in explored(X, 0.5)]
    assert require_refined({"x": X}, seen, "maximize") == []
    with pytest.raises(SpaceError, match="at or near"):
        require_refined({"x": X}, seen, "minimize")


@pytest.mark.parametrize(("num_dims", "num_needed"), [(1, 10), (5, 10), (6, 12)])
def test_qr9_too_few_completed_trials_are_refused(num_dims: int, num_needed: int):
    space = {"x": X} | {f"y{dim}": X for dim in range(num_dims - 1)}

    def seen(num_points: int) -> list[Observation]:
        others: Mapping[str, Value] = dict.fromkeys(space, 0.5)
        return [Observation({**others, **each.values}, each.objective) for each in explored(X, 0.5, num_points)]

    crashed_or_infeasible = [Observation(dict.fromkeys(space, 0.5), None)] * 50
    assert require_refined(space, seen(num_needed), "minimize") == []
    with pytest.raises(SpaceError, match=f"at least {num_needed} completed trials in .* but got {num_needed - 1};"):
        require_refined(space, seen(num_needed - 1) + crashed_or_infeasible, "minimize")


def test_qr9_a_best_trial_that_stands_alone_is_refused():
    seen = [Observation({"x": 0.5}, 0.0), *(Observation({"x": place / 40}, 1 + place / 100) for place in range(40))]
    with pytest.raises(SpaceError, match=r"at least 3 of 41 completed trials nearer to the best .* but got 1;"):
        require_refined({"x": X}, seen, "minimize")


def test_qr9_a_reason_turns_a_refusal_into_a_warning():
    reasons = {"x": "0 is the least there is", "num_trials": "each takes a day"}
    assert [
        warning.split(" (reason given: ")[1]
        for warning in require_refined({"x": X}, explored(X, 0.01, 5), "minimize", reasons)
    ] == ["each takes a day).", "0 is the least there is)."]
    with pytest.raises(SpaceError, match="or give a reason for 'x'"):
        require_refined({"x": X}, explored(X, 0.01, 5), "minimize", {"num_trials": "each takes a day"})


def test_qr9_a_space_without_a_completed_trial_is_refused():
    with pytest.raises(SpaceError, match="but got 0"):
        require_refined({"x": X}, [], "minimize")
