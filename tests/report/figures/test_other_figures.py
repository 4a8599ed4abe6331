"""Isolation, progress, gradient norms, best steps, parallel coordinates and importance."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from raytune_playbook.analysis.plots.axis import axes
from raytune_playbook.analysis.plots.importance import Importance, Interaction
from raytune_playbook.analysis.plots.isolation import Isolation, IsolationPoint
from raytune_playbook.analysis.plots.tuning_curve import TuningCurve
from raytune_playbook.analysis.series.curves import digest_of
from raytune_playbook.report.figures.best_steps import best_steps_figure
from raytune_playbook.report.figures.gradient_norms import gradient_norms_figure
from raytune_playbook.report.figures.importance import FAINT, importance_figure
from raytune_playbook.report.figures.isolation import isolation_figure
from raytune_playbook.report.figures.parallel_coordinates import MOST_LINES, parallel_figure
from raytune_playbook.report.figures.progress import best_so_far_figure, tuning_curve_figure
from raytune_playbook.report.figures.style import GREY, looks_of, trial_name
from raytune_playbook.study.settings import Objective
from tests.analysis.findings.generated import SPACE, Plan, bowl, generated
from tests.report.figures.checked import checked

PLAN = Plan(arms=({"norm": "batch"}, {"norm": "layer"}), trials_per_arm=12)


def objective_of(values, rng) -> float | str:
    if values["learning_rate"] > 0.7:
        return "diverged: far off"
    return 0.1 * (values["norm"] == "layer") + bowl(values, {"learning_rate": 0.03}, SPACE)


EVIDENCE = generated(PLAN, 3, objective_of)
LOOKS = looks_of([study.name for study in EVIDENCE.studies])


def of_role(figure, role):
    return [trace for trace in figure.data if trace.meta.get("role") == role]


def test_in12_the_best_of_each_value_has_its_interval_and_the_others_are_faint():
    points = tuple(
        IsolationPoint(
            arm.values["norm"], None, arm.best, (), (arm.best.objective - 0.01, arm.best.objective + 0.03), 12
        )
        for arm in EVIDENCE.arms
    )
    isolation = Isolation("norm", "linear", points)
    figure = checked(isolation_figure(isolation, EVIDENCE.ranked, Objective(), LOOKS))
    best, others = of_role(figure, "best"), of_role(figure, "others")
    assert [trace.customdata[0] for trace in best] == [trial_name(arm.best.id) for arm in EVIDENCE.arms]
    assert [trace.y[0] for trace in best] == [arm.best.objective for arm in EVIDENCE.arms]
    assert [(trace.error_y.array[0], trace.error_y.arrayminus[0]) for trace in best] == [
        pytest.approx((0.03, 0.01))
    ] * 2
    assert {name for trace in others for name in trace.customdata} == {trial_name(t.id) for t in EVIDENCE.ranked}
    assert all(trace.marker.opacity < 0.5 for trace in others)
    for trace, top in zip(others, best, strict=True):  # the best stands once, not beside itself
        assert trace.x[list(trace.customdata).index(top.customdata[0])] == top.x[0]
    assert list(figure.layout.xaxis.ticktext) == ["batch", "layer"]


def test_in12_trials_of_a_bucket_stand_at_their_own_values():
    edges = [0.001, 0.03, 1.0]
    points = []
    for low, high in pairwise(edges):
        best = next(t for t in EVIDENCE.ranked if low <= t.values["learning_rate"] <= high)
        points.append(IsolationPoint(best.values["learning_rate"], (low, high), best, (), None, 6))
    isolation = Isolation("learning_rate", "log", tuple(points))
    figure = checked(isolation_figure(isolation, EVIDENCE.ranked, Objective(), LOOKS))
    assert figure.layout.xaxis.type == "log"
    assert [shape.x0 for shape in figure.layout.shapes] == edges
    for trace, point in zip(of_role(figure, "best"), points, strict=True):
        assert trace.x[0] == point.best.values["learning_rate"]
    for trace, point in zip(of_role(figure, "others"), points, strict=True):
        assert all(point.edges[0] <= x <= point.edges[1] for x in trace.x)


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_in2_best_so_far_is_held_by_the_trial_that_reached_it(goal):
    objective = Objective(goal=goal)
    evidence = replace(EVIDENCE, objective=objective)
    figure = checked(best_so_far_figure(evidence.arms, objective, LOOKS))
    for trace, arm in zip(figure.data, evidence.arms, strict=True):
        objectives = {trial_name(trial.id): trial.objective for trial in arm.ended}
        for place, (held, value) in enumerate(zip(trace.customdata, trace.y, strict=True), 1):
            seen = [objectives[name] for name in list(objectives)[:place] if objectives[name] is not None]
            assert value == ((min if goal == "minimize" else max)(seen) if seen else None)
            assert held is None or objectives[held] == value
        assert list(trace.meta["trials"]) == list(objectives)


def curve(trusted_up_to: int) -> TuningCurve:
    n = np.arange(1, 11)
    return TuningCurve(
        "norm=batch", n, 1 / n, 0.8 / n, 1.3 / n, 0.5 / n, np.where(n > 8, np.inf, 2 / n), 0.9, trusted_up_to
    )


def test_in2_best_of_n_is_grey_where_it_cannot_be_trusted():
    figure = checked(tuning_curve_figure(curve(6), Objective(), LOOKS["norm=batch"]))
    told = [trace for trace in figure.data if trace.hovertemplate]
    coloured, grey = [[x for t in told if (t.line.color == GREY) is is_grey for x in t.x] for is_grey in (False, True)]
    assert coloured == list(range(1, 7))
    assert grey == list(range(6, 11))  # joined to what is trusted
    assert not any(
        GREY in str(t.line.color)
        for t in checked(tuning_curve_figure(curve(10), Objective(), LOOKS["norm=batch"])).data
    )


def test_un2_un6_the_histogram_holds_all_steps_and_marks_the_90th_percentile():
    norms = np.random.default_rng(0).lognormal(size=5_000)
    trial = EVIDENCE.ranked[0]
    digest = digest_of(np.arange(5_000), norms)
    figure = checked(gradient_norms_figure([(trial, digest)], LOOKS))
    histogram, percentile = figure.data
    assert sum(histogram.y) == pytest.approx(1, abs=0.01)
    counts, _ = np.histogram(norms, np.array(histogram.x))
    assert np.abs(np.array(histogram.y)[:-1] - counts / 5_000).max() < 0.01  # a quantile is known to a hundredth
    assert percentile.x[0] == pytest.approx(np.quantile(norms, 0.9))
    assert figure.layout.xaxis.type == "log"


@pytest.mark.parametrize("norms", [[0.0, 0.0], [math.nan], [1.0, 1.0, 1.0]])
def test_un2_gradients_without_a_spread_are_no_error(norms):
    digest = digest_of(np.arange(len(norms)), np.array(norms))
    figure = checked(gradient_norms_figure([(EVIDENCE.ranked[0], digest)], LOOKS))
    assert len(figure.data) == (2 if norms[0] == 1 else 0)


def test_in14_each_trials_best_step_is_a_mark_that_leads_to_it():
    shares = {arm.study: [(trial, place / 12) for place, trial in enumerate(arm.ranked)] for arm in EVIDENCE.arms}
    figure = checked(best_steps_figure(shares, {"norm=batch": "batch"}, LOOKS))
    assert [list(trace.customdata) for trace in figure.data] == [
        [trial_name(trial.id) for trial in arm.ranked] for arm in EVIDENCE.arms
    ]
    assert list(figure.data[0].x) == [round(place / 12, 4) for place in range(len(EVIDENCE.arms[0].ranked))]
    assert list(figure.layout.yaxis.ticktext) == ["norm=layer", "batch"]  # counted from below


def test_in15_parallel_coordinates_lead_to_every_trial_at_every_hyperparameter():
    drawn = axes(EVIDENCE.studies, EVIDENCE.trials)
    figure = checked(parallel_figure(drawn, EVIDENCE.ranked, Objective()))
    assert list(figure.layout.xaxis.ticktext) == [
        "norm",
        "learning_rate",
        "momentum",
        "weight_decay",
        "validation error, by rank",
    ]
    best = figure.data[-1]  # on top
    assert best.customdata[0] == trial_name(EVIDENCE.ranked[0].id)
    heights = [
        SPACE[name].to_unit(EVIDENCE.ranked[0].values[name]) for name in ("learning_rate", "momentum", "weight_decay")
    ]
    assert list(best.y[1:4]) == pytest.approx(heights, abs=1e-4)
    names = {name for trace in figure.data for name in trace.customdata if name}
    assert names == {trial_name(trial.id) for trial in EVIDENCE.ranked}


def test_parallel_coordinates_of_very_many_trials_draw_the_best():
    trials = [replace(EVIDENCE.ranked[0], index=number, objective=float(number)) for number in range(MOST_LINES + 50)]
    figure = checked(parallel_figure([], trials, Objective()))
    assert len({name for trace in figure.data for name in trace.customdata if name}) == MOST_LINES


def test_in15_bars_are_ordered_by_what_they_explain_and_pairs_are_named():
    shares = {"learning_rate": 0.6, "momentum": 0.1}
    found = Importance("norm=batch", 12, shares, (Interaction(("learning_rate", "momentum"), 0.2),), 0.01)
    figure = checked(importance_figure([found], LOOKS))
    assert list(figure.layout.yaxis.ticktext) == ["momentum", "learning_rate and momentum", "learning_rate"]
    assert list(figure.data[0].x) == [0.1, 0.2, 0.6]


def test_in15_bars_that_chance_would_reach_are_faint():
    found = [
        Importance(study, 12, {"momentum": 0.6}, (), p_value)
        for study, p_value in zip(LOOKS, (0.04, 0.06), strict=True)
    ]
    assert [trace.opacity for trace in checked(importance_figure(found, LOOKS)).data] == [1.0, FAINT]
