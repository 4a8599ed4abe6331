"""Bayesian optimization of a refined space (rule QR8)."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import optuna
import pytest

from raytune_playbook.errors import SpaceError, SpecError
from raytune_playbook.search import gaussian_process, halton
from raytune_playbook.search.bayes import propose
from raytune_playbook.search.evidence import Evidence, Observation, unit_points
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int

Space = Mapping[str, Hyperparameter]
Outcome = Callable[[Mapping[str, Value]], float | None]

SQUARE: Space = {"x": Float(0, 1), "y": Float(0, 1)}

MIXED: Space = {
    "learning_rate": Float(1e-4, 1.0, scale="log"),
    "momentum": Float(0.0, 0.999, scale="log_one_minus"),
    "width": Int(8, 512, scale="log"),
    "batch": Discrete([32, 64, 128, 256]),
    "norm": Categorical(["batch", None, True]),
}


def bowl(values: Mapping[str, Value]) -> float:
    return (values["x"] - 0.3) ** 2 + (values["y"] - 0.6) ** 2


def cliff(values: Mapping[str, Value]) -> float | None:
    """Falls towards x = 0.9, but nothing beyond 0.7 can be trained: the best is 0.04 at (0.7, 0.4)."""
    return (values["x"] - 0.9) ** 2 + (values["y"] - 0.4) ** 2 if values["x"] <= 0.7 else None


def explored(space: Space, outcome: Outcome, num_points: int, seed: int = 0) -> list[Observation]:
    found = []
    for point in halton.points(num_points, len(space), seed):
        values = {name: kind.from_unit(float(unit)) for (name, kind), unit in zip(space.items(), point, strict=True)}
        found.append(Observation(values, outcome(values)))
    return found


def exploited(space: Space, outcome: Outcome, seen: Sequence[Observation], num_trials: int) -> list[Observation]:
    """The proposals that follow, one after the other."""
    seen = list(seen)
    start = len(seen)
    for _ in range(num_trials):
        values = propose(space, Evidence(seen, [], "minimize"), 0)
        seen.append(Observation(values, outcome(values)))
    return seen[start:]


def best(observations: Sequence[Observation]) -> float:
    return min(seen.objective for seen in observations if seen.objective is not None)


def test_qr8_infeasible_points_are_a_constraint_and_the_best_point_beside_them_is_found():
    found = exploited(SQUARE, cliff, explored(SQUARE, cliff, 15), 12)
    random = np.random.default_rng(0).random((200, 27, 2))
    random_best = [best([Observation({}, cliff({"x": x, "y": y})) for x, y in repeat]) for repeat in random]
    assert best(found) < 0.05  # within 0.024 of the edge
    assert best(found) < np.quantile(random_best, 0.25)
    assert sum(seen.infeasible for seen in found) <= 5  # all of them without the constraint, for there the bowl falls


def test_qr8_proposals_stay_feasible_where_the_best_point_is():
    def inside(values: Mapping[str, Value]) -> float | None:
        return (values["x"] - 0.5) ** 2 + (values["y"] - 0.4) ** 2 if values["x"] <= 0.7 else None

    found = exploited(SQUARE, inside, explored(SQUARE, inside, 15), 8)
    assert sum(seen.infeasible for seen in found) <= 2
    assert best(found) < 1e-3


@pytest.mark.parametrize(("goal", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_qr8_of_an_infeasible_point_the_model_of_the_objective_learns_nothing_new(monkeypatch, goal, sign):
    """It is told what its nearest neighbour gave, and that it violates the constraint."""
    space: Space = {"x": Float(0, 1), "norm": Categorical(["batch", "layer", None])}
    completed = {(0.1, "batch"): 1.0, (0.9, "batch"): 5.0, (0.5, "layer"): 3.0, (0.12, None): 9.0, (0.3, "layer"): 2.0}
    nearest = {(0.2, "batch"): (0.1, "batch"), (0.8, "layer"): (0.5, "layer"), (0.89, None): (0.12, None)}
    seen = [Observation({"x": x, "norm": norm}, sign * loss) for (x, norm), loss in completed.items()]
    seen += [Observation({"x": x, "norm": norm}, None) for x, norm in nearest]
    told: dict[tuple[Value, ...], gaussian_process.Told] = {}

    def best_point(space: Space, points: Sequence[gaussian_process.Told], seed: int) -> dict[str, Value]:
        told.update({tuple(point.values.values()): point for point in points})
        return {"x": 0.6, "norm": "batch"}

    monkeypatch.setattr(gaussian_process, "best_point", best_point)
    propose(space, Evidence(seen, [], goal), 0)
    assert {point: told[point].target for point in nearest} == {
        point: told[neighbour].target for point, neighbour in nearest.items()
    }
    assert sorted(completed, key=lambda point: told[point].target) == sorted(completed, key=completed.__getitem__)
    assert all(told[point].violation > 0 for point in nearest)
    assert all(told[point].violation < 0 for point in completed)


def test_qr8_how_far_off_a_bad_trial_is_changes_no_proposal():
    seen = explored(SQUARE, bowl, 12)
    bad = {"x": 0.9, "y": 0.1}
    one, other = (propose(SQUARE, Evidence([*seen, Observation(bad, loss)], [], "minimize"), 0) for loss in (1e2, 1e30))
    assert one == other


def test_qr8_a_bowl_is_minimized_and_maximized():
    upside_down = [Observation(seen.values, -bowl(seen.values)) for seen in explored(SQUARE, bowl, 10)]
    assert best(exploited(SQUARE, bowl, explored(SQUARE, bowl, 10), 6)) < 1e-3
    assert propose(SQUARE, Evidence(upside_down, [], "maximize"), 0) == propose(
        SQUARE, Evidence(explored(SQUARE, bowl, 10), [], "minimize"), 0
    )


def test_qr8_every_hyperparameter_is_searched_on_its_own_scale():
    linear: Space = {"x": Float(-4, 0), "y": Float(-3, 0)}
    scaled: Space = {"x": Float(1e-4, 1.0, scale="log"), "y": Float(0.0, 1 - 1e-3, scale="log_one_minus")}
    seen = explored(linear, lambda values: (values["x"] + 3) ** 2 + (values["y"] + 1) ** 2, 12)
    same = [
        Observation({"x": 10 ** each.values["x"], "y": 1 - 10 ** (-3 - each.values["y"])}, each.objective)
        for each in seen
    ]
    flat, curved = (
        propose(linear, Evidence(seen, [], "minimize"), 0),
        propose(scaled, Evidence(same, [], "minimize"), 0),
    )
    assert 10 ** flat["x"] == pytest.approx(curved["x"], rel=1e-3)
    assert 10 ** (-3 - flat["y"]) == pytest.approx(1 - curved["y"], rel=1e-3)


def test_qr8_a_mixed_space_is_searched_in_its_own_values():
    def outcome(values: Mapping[str, Value]) -> float:
        return float(
            np.log10(values["learning_rate"] / 0.01) ** 2
            + np.log10((1 - values["momentum"]) / 0.05) ** 2
            + np.log2(values["width"] / 64) ** 2 / 9
            + (values["batch"] != 128)
            + (values["norm"] is not None)
        )

    start = explored(MIXED, outcome, 20)
    found = exploited(MIXED, outcome, start, 10)
    for seen in found:
        unit_points(MIXED, [seen.values])
        assert list(seen.values) == list(MIXED)
        assert [type(seen.values[name]) for name in ("learning_rate", "momentum", "width", "batch")] == [
            float,
            float,
            int,
            int,
        ]
    assert best(found) < 0.25 < best(start)


def test_qr8_a_proposal_depends_on_its_arguments_alone():
    seen = explored(SQUARE, cliff, 12)
    pending = [{"x": 0.2, "y": 0.2}, {"x": 0.6, "y": 0.5}]
    proposal = propose(SQUARE, Evidence(seen, pending, "minimize"), 7)
    assert propose(SQUARE, Evidence(seen[::-1], pending[::-1], "minimize"), 7) == proposal
    script = (
        "import json, sys; from raytune_playbook.search.bayes import propose;"
        "from raytune_playbook.search.evidence import Evidence, Observation;"
        "from raytune_playbook.study.hyperparameters.hyperparameter import *;"
        "seen, pending = json.loads(sys.argv[1]);"
        "space = {'x': Float(0, 1), 'y': Float(0, 1)};"
        "print(json.dumps(propose(space, Evidence([Observation(*each) for each in seen], pending, 'minimize'), 7)))"
    )
    given = json.dumps([[[each.values, each.objective] for each in seen], pending])
    elsewhere = subprocess.run([sys.executable, "-c", script, given], capture_output=True, text=True, check=True)
    assert json.loads(elsewhere.stdout) == proposal


@pytest.mark.parametrize("outcome", [bowl, cliff])
def test_qr8_parallel_proposals_spread(outcome: Outcome):
    seen, pending = explored(SQUARE, outcome, 12), []
    for _ in range(4):
        pending.append(propose(SQUARE, Evidence(seen, pending, "minimize"), 0))
    pairs = itertools.combinations(unit_points(SQUARE, pending), 2)
    assert min(float(np.linalg.norm(one - other)) for one, other in pairs) > 0.02


def test_qr8_no_point_is_proposed_twice_and_a_finite_space_comes_to_its_end():
    space: Space = {"depth": Int(1, 3), "norm": Categorical(["batch", None])}

    def outcome(values: Mapping[str, Value]) -> float:
        return float(values["depth"])

    seen = [Observation(values, outcome(values)) for values in ({"depth": 1, "norm": None}, {"depth": 3, "norm": None})]
    seen += exploited(space, outcome, seen, 4)
    assert len({(each.values["depth"], each.values["norm"]) for each in seen}) == 6
    with pytest.raises(SpaceError, match="all 6 points have been tried"):
        propose(space, Evidence(seen, [], "minimize"), 0)


def test_qr8_a_list_of_configurations_is_searched():
    configurations = [{"x": x / 10, "y": y / 10} for x, y in itertools.product(range(11), repeat=2)]
    seen = [Observation(values, bowl(values)) for values in configurations[::12]]
    for _ in range(6):
        values = propose(SQUARE, Evidence(seen, [], "minimize"), 0, among=configurations)
        assert values in configurations and values not in [dict(each.values) for each in seen]
        seen.append(Observation(values, bowl(values)))
    assert {"x": 0.3, "y": 0.6} in [each.values for each in seen]


def test_qr8_a_point_that_crashed_is_not_asked_for_again():
    seen = explored(SQUARE, bowl, 12)
    crashed = propose(SQUARE, Evidence(seen, [], "minimize"), 0)
    assert propose(SQUARE, Evidence(seen, [crashed], "minimize"), 0) != crashed


def test_qr8_a_corner_that_was_tried_is_not_proposed_again():
    def slope(values: Mapping[str, Value]) -> float:
        return float(values["x"] + values["y"])

    seen = [*explored(SQUARE, slope, 8), Observation({"x": 0.0, "y": 0.0}, 0.0)]
    found = exploited(SQUARE, slope, seen, 3)
    points = [tuple(each.values.values()) for each in [*seen, *found]]
    assert len(set(points)) == len(points)


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        ([Observation({"x": 0.5, "y": 0.5}, None)] * 5, "at least 2 completed trials to learn from, but got 0"),
        ([Observation({"x": 0.5, "y": 0.5}, float("nan"))] * 5, "needs finite objectives"),
        ([Observation({"x": 0.5, "y": 1.5}, 1.0)] * 5, "needs a value in its range"),
        ([Observation({"x": 0.5}, 1.0)] * 5, "but got None"),
    ],
)
def test_qr8_what_cannot_be_learned_from_is_refused(seen: list[Observation], message: str):
    with pytest.raises(SpaceError, match=message):
        propose(SQUARE, Evidence(seen, [], "minimize"), 0)


def test_qr8_nothing_is_printed_and_optuna_is_left_as_it_was(capfd: pytest.CaptureFixture[str]):
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        propose(SQUARE, Evidence(explored(SQUARE, cliff, 8), [{"x": 0.1, "y": 0.1}], "minimize"), 0)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before


def test_without_optuna_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SpecError, match=r"pip install optuna"):
        propose(SQUARE, Evidence(explored(SQUARE, bowl, 8), [], "minimize"), 0)
