"""Parallel coordinates: all hyperparameters and the objective of every trial at once.

Drawn of plain lines, in a few groups from the worst trials to the best, so that a mark leads to its trial as in every
other plot; plotly's own kind of trace needs WebGL and code that the page's policy forbids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.plots.axis import Axis
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import number_text
from raytune_playbook.report.figures.figure import Figure, Json, plain
from raytune_playbook.report.figures.style import HOVER_TRIAL, trial_name
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.wording import value_text

GROUPS = ((0.1, "#0072B2", 2.0, 0.95), (0.25, "#56B4E9", 1.2, 0.7), (1.0, "#7A828A", 0.8, 0.3))
"""Of the trials, the best first: up to which share, colour, width and opacity."""

MOST_LINES = 300


def parallel_figure(axes: Sequence[Axis], ranked: Sequence[Trial], objective: Objective) -> Figure:
    """One upright axis for each hyperparameter, the objective last; the best trials are drawn on top.

    Args:
        axes: of the hyperparameters.
        ranked: completed trials, the best first; of more than `MOST_LINES` the best are drawn.
        objective: of the last axis.
    """
    shown = ranked[:MOST_LINES]
    scales = [*(_of_hyperparameter(axis) for axis in axes), _of_objective(shown, objective)]
    bounds = [0, *(max(1, math.ceil(share * len(shown))) if shown else 0 for share, *_ in GROUPS)]
    traces = []
    for place, (_, colour, width, opacity) in enumerate(GROUPS):
        group = shown[bounds[place] : bounds[place + 1]]
        if group:
            traces.append(_lines(group, scales, {"color": colour, "width": width}, opacity))
    last = len(scales) - 1
    layout: dict[str, Json] = {
        "meta": {"kind": "parallel"},
        "xaxis": {
            "tickvals": list(range(len(scales))),
            "ticktext": [plain(scale.name) for scale in scales],
            "range": [-0.3, last + 0.45],
            "showgrid": False,
            "showline": False,
            "fixedrange": True,
        },
        "yaxis": {"range": [-0.12, 1.08], "visible": False, "fixedrange": True},
        "margin": {"l": 24, "r": 40, "t": 28, "b": 56},
        "shapes": [_upright(place) for place in range(len(scales))],
        "annotations": [
            _label(place, height, text) for place, scale in enumerate(scales) for height, text in scale.labels
        ],
    }
    return Figure(tuple(reversed(traces)), layout)


@dataclass(frozen=True)
class _Scale:
    """One upright axis: where a trial crosses it, from 0 to 1, and its labels with their heights."""

    name: str
    height: Callable[[Trial], float | None]
    labels: Sequence[tuple[float, str]]


def _of_hyperparameter(axis: Axis) -> _Scale:
    values = {point.trial.id: point.x for point in axis.completed}
    if axis.choices or axis.low is None or axis.high is None:
        last = max(1, len(axis.choices) - 1)
        labels = [(place / last, value_text(choice)) for place, choice in enumerate(axis.choices)]

        def among(trial: Trial) -> float | None:
            place = axis.place(values[trial.id]) if trial.id in values else None
            return None if place is None else place / last

        return _Scale(axis.name, among, labels)
    low, high = axis.low, axis.high
    to_unit = _to_unit(axis)

    def height(trial: Trial) -> float | None:
        value = values.get(trial.id)
        return to_unit(value) if trial.id in values else None

    return _Scale(axis.name, height, [(0.0, value_text(low)), (1.0, value_text(high))])


def _to_unit(axis: Axis) -> Callable[[Value], float | None]:
    assert axis.low is not None and axis.high is not None  # of a range
    turn: Callable[[float], float] = {
        "linear": lambda x: x,
        "log": lambda x: math.log(x) if x > 0 else -math.inf,
        "log_one_minus": lambda x: -math.log(1 - x) if x < 1 else math.inf,
    }[axis.scale]
    low, high = turn(axis.low), turn(axis.high)

    def unit(value: Value) -> float | None:
        if isinstance(value, str) or value is None or high == low:
            return None
        return min(1.05, max(-0.05, (turn(float(value)) - low) / (high - low)))

    return unit


def _of_objective(shown: Sequence[Trial], objective: Objective) -> _Scale:
    """By rank, for objectives crowd at one end; the labels tell the values."""
    heights = {trial.id: place / max(1, len(shown) - 1) for place, trial in enumerate(shown)}
    marks = sorted({0, (len(shown) - 1) // 2, len(shown) - 1}) if shown else []
    labels = [(place / max(1, len(shown) - 1), number_text(shown[place].objective)) for place in marks]
    return _Scale(f"{objective.name}, by rank", lambda trial: heights[trial.id], labels)


def _lines(trials: Sequence[Trial], scales: Sequence[_Scale], line: dict[str, Json], opacity: float) -> dict[str, Json]:
    """All lines of a group in one trace, a gap after each."""
    x: list[float | None] = []
    y: list[float | None] = []
    names: list[str | None] = []
    for trial in trials:
        heights = [scale.height(trial) for scale in scales]
        x += [*range(len(scales)), None]
        y += [None if height is None else round(height, 4) for height in heights] + [None]
        names += [trial_name(trial.id)] * len(scales) + [None]
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "mode": "lines+markers",
        "line": line,
        "marker": {"color": line["color"], "size": 4},
        "opacity": opacity,
        "meta": {"study": None},
        "customdata": names,
        "hovertemplate": HOVER_TRIAL,
    }


def _upright(place: int) -> dict[str, Json]:
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": {"width": 1}, "layer": "below"}


def _label(place: int, height: float, text: str) -> dict[str, Json]:
    """A value beside its axis: beyond an end, where no line goes, or over the lines."""
    where: dict[str, Json] = {"xanchor": "left", "xshift": 6}
    if height in (0.0, 1.0):
        where = {"xanchor": "center", "yanchor": "top" if height == 0.0 else "bottom", "yshift": 5 * (2 * height - 1)}
    return {
        "x": place,
        "y": height,
        "text": plain(text),
        "showarrow": False,
        "bgcolor": "white",
        "borderpad": 1,
        "font": {"size": 10},
        **where,
    }
