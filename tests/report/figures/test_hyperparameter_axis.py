"""Hyperparameter axis plots."""

from __future__ import annotations

import numpy as np
import pytest

from raytune_playbook.analysis.plots.axis import Axis, AxisPoint
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures.hyperparameter_axis import STUDIES_APART, axis_figure
from raytune_playbook.report.figures.style import SYMBOLS, looks_of
from raytune_playbook.study.settings import Objective
from tests.report.figures.checked import checked

LOOKS = looks_of(["a", "b"])


def point(study: str, index: int, x: object, objective: float | None, outcome: str = "completed") -> AxisPoint:
    return AxisPoint(x, Trial(study, index, outcome=outcome, objective=objective))


def axis(scale: str = "linear", low: float | None = 0.0, high: float | None = 1.0, **fields: object) -> Axis:
    parts = {"choices": (), "completed": (), "infeasible": (), "failed": ()} | fields
    return Axis("x", scale, low, high, **parts)


ENDED = axis(
    completed=(point("a", 0, 0.5, 0.5), point("b", 0, 0.6, 0.4)),
    infeasible=(point("a", 1, 0.9, None, "infeasible"), point("b", 1, 0.9, None, "infeasible")),
    failed=(point("b", 2, 0.2, None, "failed"),),
)
"""Trials that ended in every way."""


def drawn(figure: object, yaxis: str = "y") -> dict[str, list[tuple[object, object]]]:
    """Trial -> its points on one of the vertical axes."""
    found: dict[str, list[tuple[object, object]]] = {}
    for trace in figure.data:
        if trace.customdata is not None and (trace.yaxis or "y") == yaxis:
            for name, x, y in zip(trace.customdata, trace.x, trace.y, strict=True):
                found.setdefault(name, []).append((x, y))
    return found


def test_in11_points_stand_at_their_value_and_objective():
    data = axis("log", 1e-3, 1.0, completed=(point("a", 0, 0.1, 0.5), point("b", 0, 0.01, 0.7)))
    figure = checked(axis_figure(data, Objective(), LOOKS, [data.completed[0].trial]))
    a, b = (0.1, 0.5), (0.01, 0.7)
    assert drawn(figure) == {"a/00000": [a, a], "b/00000": [b]}  # the best has its ring


def test_in11_studies_that_share_a_value_stand_beside_each_other():
    completed = (point("a", 0, 0.1, 0.5), point("b", 0, 0.01, 0.7), point("b", 1, 0.1, 0.5))
    data = axis("log", 1e-3, 1.0, completed=completed)
    figure = checked(axis_figure(data, Objective(), LOOKS, []))
    apart = 1000 ** (STUDIES_APART / 2)  # half of the distance between two studies, of three decades
    a, b = (pytest.approx(0.1 / apart), 0.5), (pytest.approx(0.1 * apart), 0.5)
    assert drawn(figure) == {"a/00000": [a], "b/00000": [(pytest.approx(0.01 * apart), 0.7)], "b/00001": [b]}
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.ticktext) == ["0.001", "0.01", "0.1", "1"]
    assert [shape.x0 for shape in figure.layout.shapes] == [1e-3, 1.0]


def test_in11_infeasible_and_failed_trials_stand_above_without_a_value():
    figure = checked(axis_figure(ENDED, Objective(), LOOKS, []))
    assert set(drawn(figure)) == {"a/00000", "b/00000"}
    above = drawn(figure, "y2")
    half = STUDIES_APART / 2
    places = {"a/00001": 0.9 - half, "b/00001": 0.9 + half, "b/00002": 0.2 + half}
    assert {name: points[0][0] for name, points in above.items()} == pytest.approx(places)
    assert above["a/00001"][0][1] != above["b/00001"][0][1]  # they do not hide each other
    assert figure.layout.yaxis.domain[1] < figure.layout.yaxis2.domain[0]


def test_in11_each_way_to_end_has_a_mark_and_a_place_of_its_own():
    figure = checked(axis_figure(ENDED, Objective(), LOOKS, []))
    marks = {trace.customdata[0]: trace.marker.symbol for trace in figure.data if trace.customdata is not None}
    assert {marks["a/00000"], marks["b/00000"]} <= set(SYMBOLS)
    assert marks["a/00001"] == marks["b/00001"] == "x-thin"  # the page says that crosses are infeasible trials
    assert marks["b/00002"] == "circle-open"
    # The strips' labels are the legend: each point stands nearest to the word for how its trial ended.
    words = dict(zip(figure.layout.yaxis2.tickvals, figure.layout.yaxis2.ticktext, strict=True))
    said = {
        name: words[min(words, key=lambda level: abs(level - height))]
        for name, ((_, height),) in drawn(figure, "y2").items()
    }
    assert said == {"a/00001": "infeasible", "b/00001": "infeasible", "b/00002": "failed"}


@pytest.mark.parametrize("outcome", ["infeasible", "failed"])
def test_in11_a_mark_does_not_depend_on_who_else_ended(outcome):
    data = axis(completed=ENDED.completed, **{outcome: getattr(ENDED, outcome)})
    figure = checked(axis_figure(data, Objective(), LOOKS, []))
    symbols = {trace.marker.symbol for trace in figure.data if trace.yaxis == "y2"}
    assert symbols == {{"infeasible": "x-thin", "failed": "circle-open"}[outcome]}
    assert list(figure.layout.yaxis2.ticktext) == [outcome]


def test_in11_log_one_minus_is_plotted_reversed_and_labelled_by_value():
    data = axis("log_one_minus", 0.9, 0.999, completed=(point("a", 0, 0.99, 0.5),))
    figure = checked(axis_figure(data, Objective(), LOOKS, []))
    assert drawn(figure)["a/00000"] == [(pytest.approx(0.01), 0.5)]
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.range[0] > figure.layout.xaxis.range[1]
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert {text: pytest.approx(1 - float(text)) for text in ticks} == ticks
    assert {"0.9", "0.99", "0.999"} <= set(ticks)


def test_in11_studies_stand_beside_each_other_at_a_choice():
    data = axis(low=None, high=None, choices=("u", None), completed=tuple(point(s, 0, None, 0.5) for s in "ab"))
    points = drawn(checked(axis_figure(data, Objective(), LOOKS, [])))
    assert points["a/00000"][0][0] < 1 < points["b/00000"][0][0]


@pytest.mark.parametrize("scale", ["linear", "log", "log_one_minus"])
def test_in11_trials_of_all_studies_at_the_same_point_are_seen(scale):
    looks = looks_of([str(number) for number in range(4)])
    data = axis(scale, 0.1, 0.9, completed=tuple(point(study, 0, 0.5, 0.3) for study in looks))
    figure = checked(axis_figure(data, Objective(), looks, []))
    xs = [points[0][0] for points in drawn(figure).values()]
    positions = np.log10(xs) if figure.layout.xaxis.type == "log" else np.array(xs)
    low, high = sorted(figure.layout.xaxis.range)
    # A mark of 8 pixels on a plot of 400: none hides under another, and none is further off than a twentieth.
    shares = np.diff(sorted(positions)) / (high - low)
    assert shares.min() > 0.015
    assert np.ptp(positions) / (high - low) < 0.1


@pytest.mark.parametrize(("values", "scale"), [([0.1, 0.2], None), ([0.001, 5.0], "log"), ([-1.0, 500.0], None)])
def test_a_vertical_axis_is_logarithmic_only_where_values_span_far(values, scale):
    data = axis(completed=tuple(point("a", index, 0.5, value) for index, value in enumerate(values)))
    assert checked(axis_figure(data, Objective(), LOOKS, [])).layout.yaxis.type == scale
