"""Figures from analysis data: hyperparameter axis plots and training curves.

A figure holds no texts of trials: its points carry the trial's name within the round as ``customdata``, and the page
shows that trial's facts when one points at it. Traces say in ``meta`` which study they belong to, and whether they show
one of its best trials, so that the page can show and hide them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import plotly.graph_objects as go

from raytune_playbook.analysis.axis import Axis, AxisPoint
from raytune_playbook.analysis.curves import Curve
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.formatting import log_ticks, value_text
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective

COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#117733", "#7A6FDB", "#8C7A3D",
)  # fmt: skip
"""Okabe and Ito's palette, safe for colour-blind readers, and a few of Tol's beyond it."""

SYMBOLS = {
    "circle": "●", "diamond": "◆", "square": "■", "triangle-up": "▲", "triangle-down": "▼", "star": "★",
}  # fmt: skip
"""Studies differ in shape too, each with its sign for the legend; infeasible trials alone are crosses."""

LOG_RATIO = 30.0
"""An axis of positive values turns logarithmic when they span more than this."""

Colours = Mapping[str, tuple[str, str]]
"""A study's colour and symbol."""


def colours_of(studies: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a symbol for each study, in every plot of the page."""
    symbols = list(SYMBOLS)
    return {
        study: (COLOURS[place % len(COLOURS)], symbols[place % len(symbols)]) for place, study in enumerate(studies)
    }


def trial_name(trial: TrialId) -> str:
    """How points refer to a trial."""
    return "/".join(trial)


def axis_figure(axis: Axis, objective: Objective, colours: Colours, best: Iterable[Trial]) -> go.Figure:
    """The objective against one hyperparameter, trials without an objective in a strip of their own above.

    Args:
        axis: the data.
        objective: names the vertical axis.
        colours: per study; also the order of the studies.
        best: each study's best trial, ringed.
    """
    rings = {trial.id for trial in best}
    to_x = _placer(axis, list(colours))
    # The horizontal axis hangs on the lower plot, which must be there even where no trial has an objective.
    figure = go.Figure(go.Scatter(x=[None], y=[None], meta={"study": None, "best": True}))
    num_points = len(axis.completed)
    size, opacity = (8, 0.8) if num_points <= 300 else (5, 0.6) if num_points <= 2_000 else (3, 0.5)
    by_study = {study: [point for point in axis.completed if point.trial.study == study] for study in colours}
    for study, points in by_study.items():
        colour, symbol = colours[study]
        marker: dict[str, _MarkerSetting] = {"color": colour, "symbol": symbol, "size": size, "opacity": opacity}
        _add_points(figure, points, to_x, study, marker, [point.trial.objective for point in points], "y")
    for study, points in by_study.items():  # after all points, which would cover them
        colour, symbol = colours[study]
        ringed = [point for point in points if point.trial.id in rings]
        ring: dict[str, _MarkerSetting] = {
            "color": colour,
            "symbol": f"{symbol}-open",
            "size": 15,
            "line": {"width": 2.5},
        }
        _add_points(figure, ringed, to_x, study, ring, [point.trial.objective for point in ringed], "y")
    strips = [(name, points) for name, points in (("failed", axis.failed), ("infeasible", axis.infeasible)) if points]
    _add_strips(figure, strips, to_x, colours)
    objectives = [point.trial.objective for point in axis.completed if point.trial.objective is not None]
    top = 1 - 0.13 * len(strips)
    figure.update_layout(
        xaxis=_x_axis(axis),
        yaxis={**_value_axis(objectives), "title": {"text": objective.name}, "domain": [0, top - 0.03 * bool(strips)]},
        margin=_MARGIN,
        shapes=[_edge(x) for x in _edges(axis)],
    )
    if strips:
        figure.update_layout(yaxis2=_strip_axis([name for name, _ in strips], top))
    return figure


def curves_figure(
    curves: Iterable[tuple[Trial, Mapping[str, Curve], int]],
    *,
    y_title: str,
    colours: Colours,
    marked: Mapping[TrialId, tuple[int, float]] | None = None,
) -> go.Figure:
    """A metric against the training step, one line per trial and split.

    Args:
        curves: per trial its curves by split and its rank within its study: 0 for the best, from 1 for other good
            ones, -1 for those that are shown on demand only. Training is dashed.
        y_title: what is measured.
        colours: per study.
        marked: the best step of some trials with the value there, marked by a dot.
    """
    figure = go.Figure()
    shown: list[float] = []
    for trial, by_split, rank in curves:
        colour, _ = colours[trial.study]
        for split, curve in by_split.items():
            values = [float(f"{value:.6g}") if math.isfinite(value) else None for value in curve.values]
            shown += [value for value in values if value is not None]
            figure.add_scatter(
                x=curve.steps.tolist(),
                y=values,
                mode="lines" if len(values) > 1 else "markers",
                line={"color": colour, "width": 2.4 if rank == 0 else 1.2, "dash": _DASHES.get(split, "dot")},
                opacity=1.0 if rank >= 0 else 0.4,
                visible=rank >= 0,
                meta={"study": trial.study, "best": rank >= 0, "trial": trial_name(trial.id)},
                hovertemplate=f"{trial.key} {split}: %{{y:.4g}} at step %{{x}}<extra></extra>",
            )
        if marked and trial.id in marked and rank >= 0:
            step, value = marked[trial.id]
            figure.add_scatter(
                x=[step],
                y=[value],
                mode="markers",
                marker={"color": colour, "size": 9, "line": {"width": 1.5, "color": "white"}},
                meta={"study": trial.study, "best": True},
                customdata=[trial_name(trial.id)],
                hovertemplate="%{text}<extra></extra>",
            )
    figure.update_layout(
        xaxis={"title": {"text": "training step"}, "rangemode": "tozero"},
        yaxis={**_value_axis(shown), "title": {"text": y_title}},
        margin=_MARGIN,
    )
    return figure


_MARGIN = {"l": 64, "r": 16, "t": 28, "b": 48}
_MarkerSetting = str | float | dict[str, str | float]
_DASHES = {"validation": "solid", "train": "dash", "step": "solid"}


def _add_strips(
    figure: go.Figure,
    strips: Sequence[tuple[str, Sequence[AxisPoint]]],
    to_x: Callable[[AxisPoint], float | None],
    colours: Colours,
) -> None:
    """Trials without an objective, one level for each way to end and a line within it for each study."""
    for height, (name, points) in enumerate(strips):
        for line, (study, (colour, _)) in enumerate(colours.items()):
            own = [point for point in points if point.trial.study == study]
            level = height + 0.8 * ((line + 0.5) / len(colours) - 0.5)
            symbol = "x-thin" if name == "infeasible" else "circle-open"
            edge: dict[str, str | float] = {"width": 2, "color": colour}
            marker: dict[str, _MarkerSetting] = {"color": colour, "symbol": symbol, "size": 7, "line": edge}
            _add_points(figure, own, to_x, study, marker, [level] * len(own), "y2")


def _add_points(
    figure: go.Figure,
    points: Sequence[AxisPoint],
    to_x: Callable[[AxisPoint], float | None],
    study: str,
    marker: Mapping[str, _MarkerSetting],
    y: Sequence[float | None],
    yaxis: str,
) -> None:
    if not points:
        return
    figure.add_scatter(
        x=[to_x(point) for point in points],
        y=list(y),
        yaxis=yaxis,
        mode="markers",
        marker=dict(marker),
        meta={"study": study, "best": True},
        customdata=[trial_name(point.trial.id) for point in points],
        hovertemplate="%{text}<extra></extra>",
    )


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


def _value_axis(values: Sequence[float]) -> dict[str, object]:
    if not values:
        return {"showticklabels": False}
    low, high = min(values), max(values)
    if low <= 0 or high < LOG_RATIO * low:
        return {}
    # Few ticks, for plotly puts up to three times as many; a format, for it would else write 0.2 as a small 2.
    return {"type": "log", "nticks": 3, "tickformat": "~g"}


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
