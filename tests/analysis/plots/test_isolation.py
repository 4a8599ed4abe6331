"""Isolation plots: the best trial of each scientific value or slice, over all that was tuned under it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.plots.isolation import isolation_of, isolations
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from tests.analysis.findings.generated import SPACE, Plan, bowl, generated

OPTIMUM = {"learning_rate": 0.03, "momentum": 0.9}


def loss(values, rng):
    worse = 0.1 if values.get("norm") == "sync" else 0.0
    return 0.1 + worse + bowl(values, OPTIMUM, SPACE) + 0.001 * rng.normal()


def test_in12_the_best_over_nuisance_hyperparameters_of_each_scientific_value():
    evidence = generated(Plan(arms=[{"norm": "device"}, {"norm": "sync"}]), 0, loss)
    (found,) = isolations(evidence)
    assert (found.name, found.scale, [point.value for point in found.points]) == ("norm", "linear", ["device", "sync"])
    for point, arm in zip(found.points, evidence.arms, strict=True):
        assert point.best == arm.best
        assert point.others == tuple(trial.objective for trial in arm.ranked[1:])
        assert point.num_trials == 20
        low, high = point.interval
        assert low < point.best.objective < high
        assert point.edges is None


def test_in12_two_scientific_hyperparameters_each_over_the_other():
    arms = [{"norm": norm, "width": width} for norm in ("device", "sync") for width in (16, 32)]
    evidence = generated(Plan(arms=arms, trials_per_arm=6), 0, loss)
    norm, width = isolations(evidence)
    assert (norm.name, width.name) == ("norm", "width")
    assert [point.num_trials for point in (*norm.points, *width.points)] == [12] * 4
    assert min(point.best.objective for point in width.points) == evidence.ranked[0].objective
    assert [point.value for point in width.points] == [16, 32]


def test_in12_a_continuous_hyperparameter_in_slices_of_its_own_scale():
    evidence = generated(Plan(trials_per_arm=40), 0, loss)
    assert isolations(evidence) == ()  # it is nuisance
    found = isolation_of(evidence, "learning_rate")
    assert found.scale == "log"
    edges = [point.edges for point in found.points]
    assert len(edges) == 8
    assert edges[0][0] == pytest.approx(1e-3)
    assert edges[-1][1] == pytest.approx(1.0)
    assert [high / low for low, high in edges] == pytest.approx([1000 ** (1 / 8)] * 8)
    assert sum(point.num_trials for point in found.points) == 40
    for point in found.points:
        low, high = point.edges
        inside = [t.objective for t in evidence.trials if low <= t.values["learning_rate"] < high]
        assert point.best.objective == min(inside)
        assert point.value == point.best.values["learning_rate"]
    best = min(found.points, key=lambda point: point.best.objective)
    assert best.edges[0] < 0.1
    assert best.edges[1] > 0.01
    # The same with the role of what the round asks.
    asked = replace(evidence, roles=evidence.roles | {"learning_rate": "scientific"})
    assert isolations(asked) == (found,)


def test_in12_very_many_numbers_are_bucketed():
    plan = Plan(arms=[{"width": width} for width in range(1, 101)], space={"x": Float(0, 1)}, trials_per_arm=1)
    (found,) = isolations(generated(plan, 0, lambda values, rng: abs(values["width"] - 50)))
    assert found.scale == "log"
    assert sum(point.num_trials for point in found.points) == 100
    assert min(found.points, key=lambda point: point.best.objective).value == 50


def test_in3_infeasible_trials_are_counted_and_crashed_ones_are_not():
    plan = Plan(arms=[{"norm": "device"}, {"norm": "sync"}], trials_per_arm=4)
    evidence = generated(plan, 0, lambda values, rng: "NaN: loss" if values["norm"] == "sync" else 0.5)
    crashed = replace(evidence.trials[0], outcome=Outcome.FAILED, objective=None)
    (found,) = isolations(replace(evidence, trials=(crashed, *evidence.trials[1:])))
    assert [(point.num_trials, point.best is None, point.interval) for point in found.points] == [
        (3, False, None),
        (4, True, None),
    ]
    assert isolation_of(evidence, "depth") is None
    assert isolations(replace(evidence, trials=())) == ()
