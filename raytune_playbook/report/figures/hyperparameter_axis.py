"""Hyperparameter axis plots: the objective against one hyperparameter (rule IN11)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from raytune_playbook.analysis.axis import Axis, AxisPoint
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import value_text
from raytune_playbook.report.figures.style import MARGIN, MARKS, Look, Looks, trial_name, value_axis
from raytune_playbook.report.formatting import log_ticks
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective

_MarkerSetting = str | float | dict[str, str | float]


def axis_figure(axis: Axis, objective: Objective, looks: Looks, best: Iterable[Trial]) -> go.Figure:
    """The objective against one hyperparameter, trials without an objective in a strip of their own above.

    Args:
        axis: the data.
        objective: names the vertical axis.
        looks: of the studies.
        best: each study's best trial, ringed.
    """
    # The horizontal axis hangs on the lower plot, which must be there even where no trial has an objective.
    figure = go.Figure(go.Scatter(x=[None], y=[None], meta={"study": None, "best": True}))
    to_x = _placer(axis, list(looks))
    strips = [(outcome, points) for outcome, points in _without_objective(axis).items() if points]
    for dots in [*_completed(axis, looks), *_rings(axis, looks, best), *_strips(strips, looks)]:
        _add(figure, dots, to_x)
    objectives = [point.trial.objective for point in axis.completed if point.trial.objective is not None]
    top = 1 - 0.13 * len(strips)
    figure.update_layout(
        xaxis=_x_axis(axis),
        yaxis={**value_axis(objectives), "title": {"text": objective.name}, "domain": [0, top - 0.03 * bool(strips)]},
        margin=MARGIN,
        shapes=[_edge(x) for x in _edges(axis)],
    )
    if strips:
        figure.update_layout(yaxis2=_strip_axis([outcome for outcome, _ in strips], top))
    return figure


@dataclass(frozen=True)
class _Dots:
    """Trials of one study that are marked alike, with their heights on one of the vertical axes."""

    study: str
    points: Sequence[AxisPoint]
    heights: Sequence[float | None]
    marker: Mapping[str, _MarkerSetting]
    yaxis: str = "y"


def _add(figure: go.Figure, dots: _Dots, to_x: Callable[[AxisPoint], float | None]) -> None:
    if not dots.points:
        return
    figure.add_scatter(
        x=[to_x(point) for point in dots.points],
        y=list(dots.heights),
        yaxis=dots.yaxis,
        mode="markers",
        marker=dict(dots.marker),
        meta={"study": dots.study, "best": True},
        customdata=[trial_name(point.trial.id) for point in dots.points],
        hovertemplate="%{text}<extra></extra>",
    )


def _completed(axis: Axis, looks: Looks) -> list[_Dots]:
    """Trials with an objective, the smaller and paler the more there are."""
    num_points = len(axis.completed)
    size, opacity = (8, 0.8) if num_points <= 300 else (5, 0.6) if num_points <= 2_000 else (3, 0.5)
    return [
        _at_objective(study, axis.completed, {"symbol": look.symbol, "size": size, "opacity": opacity}, look)
        for study, look in looks.items()
    ]


def _rings(axis: Axis, looks: Looks, best: Iterable[Trial]) -> list[_Dots]:
    """Around the best trials, drawn after all points, which would cover them."""
    ids = {trial.id for trial in best}
    ringed = [point for point in axis.completed if point.trial.id in ids]
    return [
        _at_objective(study, ringed, {"symbol": f"{look.symbol}-open", "size": 15, "line": {"width": 2.5}}, look)
        for study, look in looks.items()
    ]


def _at_objective(study: str, points: Sequence[AxisPoint], marker: dict[str, _MarkerSetting], look: Look) -> _Dots:
    own = [point for point in points if point.trial.study == study]
    return _Dots(study, own, [point.trial.objective for point in own], {"color": look.colour, **marker})


def _strips(strips: Sequence[tuple[str, Sequence[AxisPoint]]], looks: Looks) -> list[_Dots]:
    """Trials without an objective, one level for each way to end and a line within it for each study."""
    dots = []
    for height, (outcome, points) in enumerate(strips):
        for line, (study, look) in enumerate(looks.items()):
            own = [point for point in points if point.trial.study == study]
            level = height + 0.8 * ((line + 0.5) / len(looks) - 0.5)
            marker: dict[str, _MarkerSetting] = {"color": look.colour, "symbol": MARKS[outcome], "size": 7}
            marker["line"] = {"width": 2, "color": look.colour}
            dots.append(_Dots(study, own, [level] * len(own), marker, "y2"))
    return dots


def _without_objective(axis: Axis) -> dict[str, Sequence[AxisPoint]]:
    """By outcome, in the order of the strips."""
    points = {"failed": axis.failed, "infeasible": axis.infeasible}
    return {outcome: points[outcome] for outcome in MARKS}


def _placer(axis: Axis, studies: Sequence[str]) -> Callable[[AxisPoint], float | None]:
    """Where a point stands on the horizontal axis."""
    if not axis.choices:
        return lambda point: _number(axis, point.x)
    present = {(axis.place(point.x), point.trial.study) for point in _all_points(axis)}
    beside = {place: [study for study in studies if (place, study) in present] for place in range(len(axis.choices))}

    def choice(point: AxisPoint) -> float | None:
        place = axis.place(point.x)
        if place is None:
            return None
        # Studies stand beside each other at a choice, since their points would hide one another.
        row = beside[place]
        return place + 0.6 * ((row.index(point.trial.study) + 0.5) / len(row) - 0.5)

    return choice


def _number(axis: Axis, x: Value) -> float | None:
    if isinstance(x, str) or x is None:
        return None
    return 1 - x if axis.scale == "log_one_minus" else float(x)


def _x_axis(axis: Axis) -> dict[str, object]:
    title = {"title": {"text": axis.name}}
    if axis.choices or axis.low is None or axis.high is None:
        ticks = list(range(len(axis.choices)))
        texts = [value_text(choice) for choice in axis.choices]
        return {**title, "tickvals": ticks, "ticktext": texts, "range": [-0.6, len(texts) - 0.4], "showgrid": False}
    numbers = [float(point.x) for point in _all_points(axis) if isinstance(point.x, int | float)]
    low, high = min([axis.low, *numbers]), max([axis.high, *numbers])
    if axis.scale == "linear":
        slack = 0.04 * (high - low)
        return {**title, "range": [low - slack, high + slack]}
    reverse = axis.scale == "log_one_minus"
    if reverse:  # plotted is 1 - value, falling; the ticks tell the value
        low, high = 1 - high, 1 - low
    slack = 0.04 * math.log10(high / low)
    ends = [math.log10(low) - slack, math.log10(high) + slack]
    positions = log_ticks(low, high)
    return {
        **title,
        "type": "log",
        "tickvals": positions,
        "ticktext": [f"{1 - tick:.12g}" if reverse else f"{tick:g}" for tick in positions],
        "range": ends[::-1] if reverse else ends,
    }


def _edges(axis: Axis) -> list[float]:
    """Where the range that was searched begins and ends."""
    if axis.low is None or axis.high is None:
        return []
    return [1 - axis.low, 1 - axis.high] if axis.scale == "log_one_minus" else [axis.low, axis.high]


def _edge(x: float) -> dict[str, object]:
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 1, "dash": "dot"}}


def _all_points(axis: Axis) -> list[AxisPoint]:
    return [*axis.completed, *axis.infeasible, *axis.failed]


def _strip_axis(names: Sequence[str], bottom: float) -> dict[str, object]:
    return {
        "domain": [bottom, 1],
        "range": [-0.5, len(names) - 0.5],
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "anchor": "x",
    }
