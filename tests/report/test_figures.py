"""Figures from analysis data."""

from __future__ import annotations

import numpy as np
import pytest

from raytune_playbook.analysis.axis import Axis, AxisPoint
from raytune_playbook.analysis.curves import Curve
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures import axis_figure, colours_of, curves_figure
from raytune_playbook.study.settings import Objective

COLOURS = colours_of(["a", "b"])


def point(study: str, index: int, x: object, objective: float | None, outcome: str = "completed") -> AxisPoint:
    return AxisPoint(x, Trial(study, index, outcome=outcome, objective=objective))


def axis(scale: str = "linear", low: float | None = 0.0, high: float | None = 1.0, **fields: object) -> Axis:
    parts = {"choices": (), "completed": (), "infeasible": (), "failed": ()} | fields
    return Axis("x", scale, low, high, **parts)


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
    figure = axis_figure(data, Objective(), COLOURS, [data.completed[0].trial])
    assert drawn(figure) == {"a/00000": [(0.1, 0.5), (0.1, 0.5)], "b/00000": [(0.01, 0.7)]}  # the best has its ring
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis.ticktext) == ["0.001", "0.01", "0.1", "1"]
    assert [shape.x0 for shape in figure.layout.shapes] == [1e-3, 1.0]


def test_in11_infeasible_and_failed_trials_stand_above_without_a_value():
    data = axis(
        completed=(point("a", 0, 0.5, 0.5),),
        infeasible=(point("a", 1, 0.9, None, "infeasible"), point("b", 1, 0.9, None, "infeasible")),
        failed=(point("b", 2, 0.2, None, "failed"),),
    )
    figure = axis_figure(data, Objective(), COLOURS, [])
    assert set(drawn(figure)) == {"a/00000"}
    above = drawn(figure, "y2")
    assert {name: points[0][0] for name, points in above.items()} == {"a/00001": 0.9, "b/00001": 0.9, "b/00002": 0.2}
    assert above["a/00001"][0][1] != above["b/00001"][0][1]  # they do not hide each other
    assert list(figure.layout.yaxis2.ticktext) == ["failed", "infeasible"]
    assert figure.layout.yaxis.domain[1] < figure.layout.yaxis2.domain[0]


def test_in11_log_one_minus_is_plotted_reversed_and_labelled_by_value():
    data = axis("log_one_minus", 0.9, 0.999, completed=(point("a", 0, 0.99, 0.5),))
    figure = axis_figure(data, Objective(), COLOURS, [])
    assert drawn(figure)["a/00000"] == [(pytest.approx(0.01), 0.5)]
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.range[0] > figure.layout.xaxis.range[1]
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert {text: pytest.approx(1 - float(text)) for text in ticks} == ticks
    assert {"0.9", "0.99", "0.999"} <= set(ticks)


def test_in11_studies_stand_beside_each_other_at_a_choice():
    data = axis(low=None, high=None, choices=("u", None), completed=tuple(point(s, 0, None, 0.5) for s in "ab"))
    points = drawn(axis_figure(data, Objective(), COLOURS, []))
    assert points["a/00000"][0][0] < 1 < points["b/00000"][0][0]


def test_in5_training_is_dashed_and_others_wait_for_the_switch():
    curve = Curve(np.array([0, 10]), np.array([1.0, np.nan]))
    trials = [Trial("a", index, outcome="completed") for index in range(3)]
    lines = [(trials[0], {"train": curve, "validation": curve}, 0), (trials[1], {"train": curve}, 1)]
    figure = curves_figure([*lines, (trials[2], {"train": curve}, -1)], y_title="error", colours=COLOURS)
    assert [trace.line.dash for trace in figure.data] == ["dash", "solid", "dash", "dash"]
    assert [trace.visible for trace in figure.data] == [True, True, True, False]
    assert [trace.meta["trial"] for trace in figure.data] == ["a/00000", "a/00000", "a/00001", "a/00002"]
    assert list(figure.data[0].y) == [1.0, None]
    assert figure.data[0].line.width > figure.data[2].line.width


def test_in5_best_step_is_marked():
    trial = Trial("a", 0, outcome="completed")
    lines = [(trial, {"validation": Curve(np.array([0, 10]), np.array([1.0, 0.5]))}, 0)]
    marked = {trial.id: (10, 0.5)}
    dot = curves_figure(lines, y_title="error", colours=COLOURS, marked=marked).data[-1]
    assert (dot.mode, dot.x, dot.y) == ("markers", (10,), (0.5,))


@pytest.mark.parametrize(("values", "kind"), [([0.1, 0.2], None), ([0.001, 5.0], "log"), ([-1.0, 500.0], None)])
def test_a_vertical_axis_is_logarithmic_only_where_values_span_far(values, kind):
    data = axis(completed=tuple(point("a", index, 0.5, value) for index, value in enumerate(values)))
    assert axis_figure(data, Objective(), COLOURS, []).layout.yaxis.type == kind


def test_sixteen_studies_look_different():
    looks = colours_of([str(number) for number in range(16)])
    assert len(set(looks.values())) == 16
