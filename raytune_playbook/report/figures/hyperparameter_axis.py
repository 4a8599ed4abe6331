"""Hyperparameter axis plots: the objective against one hyperparameter (rule IN11).

Studies of a round search the same points, so their trials stand at the same values, and often at the same height: each
study stands a little beside the others, in an order and by a distance that are the same all over the plot. Where no two
studies share a value, as in a random search's, they stand where they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.plots.axis import Axis, AxisPoint
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures.figure import Figure, Json, plain
from raytune_playbook.report.figures.style import (
    GOLDEN,
    HOVER_TRIAL,
    MARGIN,
    MARKS,
    Looks,
    log_slack,
    trial_name,
)
from raytune_playbook.report.figures.value_axis import ValueAxis, value_axis
from raytune_playbook.report.formatting import log_ticks
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.wording import value_text

STUDIES_APART, MOST_APART = 0.02, 0.06
"""Of a range: how far neighbouring studies stand from each other, and the first from the last."""

MANY = 300
"""More points than this are smaller and closer together."""


def axis_figure(axis: Axis, objective: Objective, looks: Looks, best: Iterable[Trial]) -> Figure:
    """The objective against one hyperparameter, trials without an objective in a strip of their own above.

    Args:
        axis: the data.
        objective: names the vertical axis.
        looks: of the studies.
        best: each study's best trial, ringed.
    """
    place = _placer(axis, list(looks))
    strips = [(outcome, points) for outcome, points in _without_objective(axis).items() if points]
    objectives = [point.trial.objective for point in axis.completed if point.trial.objective is not None]
    vertical = value_axis(objectives, objective)
    dots = [*_completed(axis, looks, vertical), *_rings(axis, looks, best, vertical), *_strips(strips, looks)]
    top = 1 - 0.13 * len(strips)
    layout: dict[str, Json] = {
        "meta": {"kind": "axis"},
        "xaxis": _x_axis(axis),
        "yaxis": {
            **vertical.layout,
            "title": {"text": plain(objective.name)},
            "domain": [0, top - 0.03 * bool(strips)],
        },
        "margin": MARGIN,
        "shapes": [_edge(x) for x in _edges(axis)],
        "annotations": vertical.notes(),
    }
    if strips:
        layout["yaxis2"] = _strip_axis([outcome for outcome, _ in strips], top)
    # The horizontal axis hangs on the lower plot, which must be there even where no trial has an objective.
    anchor: Mapping[str, Json] = {"type": "scatter", "x": [None], "y": [None], "meta": {"study": None}}
    return Figure((anchor, *(_trace(each, place) for each in dots if each.points)), layout)


@dataclass(frozen=True)
class _Dots:
    """Trials of one study that are marked alike, with their heights on one of the vertical axes; those that are beyond
    it are not marked as ``given``."""

    study: str
    points: Sequence[AxisPoint]
    heights: Sequence[float | None]
    marker: Mapping[str, Json]
    role: str
    yaxis: str = "y"
    given: Mapping[str, Json] | None = None


def _trace(dots: _Dots, place: Callable[[AxisPoint], float | None]) -> dict[str, Json]:
    return {
        "type": "scatter",
        "x": [place(point) for point in dots.points],
        "y": list(dots.heights),
        "yaxis": dots.yaxis,
        "mode": "markers",
        "marker": dots.marker,
        "meta": {"study": dots.study, "role": dots.role, "marker": dots.given},
        "customdata": [trial_name(point.trial.id) for point in dots.points],
        "hovertemplate": HOVER_TRIAL,
    }


def _completed(axis: Axis, looks: Looks, vertical: ValueAxis) -> list[_Dots]:
    """Trials with an objective, the smaller and paler the more there are."""
    num_points = len(axis.completed)
    size, opacity = (8, 0.85) if num_points <= MANY else (5, 0.6) if num_points <= 2_000 else (3, 0.5)
    dots = []
    for study, look in looks.items():
        own = [point for point in axis.completed if point.trial.study == study]
        given: dict[str, Json] = {"color": look.colour, "symbol": look.symbol, "size": size, "opacity": opacity}
        marker = vertical.marker([point.trial.objective for point in own], given)
        dots.append(_Dots(study, own, _heights(own, vertical), marker, "point", given=given))
    return dots


def _rings(axis: Axis, looks: Looks, best: Iterable[Trial], vertical: ValueAxis) -> list[_Dots]:
    """Around the best trials, drawn after all points, which would cover them."""
    ids = {trial.id for trial in best}
    dots = []
    for study, look in looks.items():
        own = [point for point in axis.completed if point.trial.study == study and point.trial.id in ids]
        marker: dict[str, Json] = {"color": look.colour, "symbol": f"{look.symbol}-open", "size": 15}
        marker["line"] = {"width": 2.5}
        dots.append(_Dots(study, own, _heights(own, vertical), marker, "ring"))
    return dots


def _heights(points: Sequence[AxisPoint], vertical: ValueAxis) -> list[float | None]:
    return [vertical.height(point.trial.objective) for point in points]


def _strips(strips: Sequence[tuple[str, Sequence[AxisPoint]]], looks: Looks) -> list[_Dots]:
    """Trials without an objective, one level for each way to end and a line within it for each study."""
    dots = []
    for height, (outcome, points) in enumerate(strips):
        for line, (study, look) in enumerate(looks.items()):
            own = [point for point in points if point.trial.study == study]
            level = height + 0.8 * ((line + 0.5) / len(looks) - 0.5)
            marker: dict[str, Json] = {"color": look.colour, "symbol": MARKS[outcome], "size": 7}
            marker["line"] = {"width": 2, "color": look.colour}
            dots.append(_Dots(study, own, [level] * len(own), marker, outcome, "y2"))
    return dots


def _without_objective(axis: Axis) -> dict[str, Sequence[AxisPoint]]:
    """By outcome, in the order of the strips."""
    points = {"failed": axis.failed, "infeasible": axis.infeasible}
    return {outcome: points[outcome] for outcome in MARKS}


def _placer(axis: Axis, studies: Sequence[str]) -> Callable[[AxisPoint], float | None]:
    """Where a point stands on the horizontal axis."""
    if axis.choices:
        return _among_choices(axis, studies)
    present = {point.trial.study for point in _all_points(axis)}
    step = STUDIES_APART if len(_all_points(axis)) <= MANY else STUDIES_APART / 4
    apart = _apart([study for study in studies if study in present], step if _share_values(axis) else 0.0)
    low, high = _drawn_range(axis)

    def number(point: AxisPoint) -> float | None:
        x = _number(axis, point.x)
        if x is None:
            return None
        # On a logarithmic axis a distance is a ratio.
        share = apart[point.trial.study]
        return x + share * (high - low) if axis.scale == "linear" else x * (high / low) ** share

    return number


def _share_values(axis: Axis) -> bool:
    """Whether trials of two studies stand at one value."""
    tried = {(point.x, point.trial.study) for point in _all_points(axis)}
    return len({x for x, _ in tried}) < len(tried)


def _apart(studies: Sequence[str], step: float) -> dict[str, float]:
    """By which share of the range each study stands aside; 0 for a study by itself."""
    step = min(step, MOST_APART / max(1, len(studies) - 1))
    return {study: step * (place - (len(studies) - 1) / 2) for place, study in enumerate(studies)}


def _among_choices(axis: Axis, studies: Sequence[str]) -> Callable[[AxisPoint], float | None]:
    """At a choice studies stand beside each other, too, and so do the trials of a study."""
    present = {(axis.place(point.x), point.trial.study) for point in _all_points(axis)}
    beside = {place: [study for study in studies if (place, study) in present] for place in range(len(axis.choices))}

    def choice(point: AxisPoint) -> float | None:
        place = axis.place(point.x)
        if place is None:
            return None
        row = beside[place]
        within = ((point.trial.index * GOLDEN) % 1 - 0.5) / (2 * len(row))
        return place + 0.6 * ((row.index(point.trial.study) + 0.5) / len(row) - 0.5 + within)

    return choice


def _number(axis: Axis, x: Value) -> float | None:
    """Where a value is drawn; None where it cannot be, as zero on a logarithmic axis."""
    if isinstance(x, str) or x is None or not math.isfinite(x):
        return None
    number = 1 - x if axis.scale == "log_one_minus" else float(x)
    return number if axis.scale == "linear" or number > 0 else None


def _drawn_range(axis: Axis) -> tuple[float, float]:
    """The lowest and the highest number that is drawn: the searched range, and what lies outside it."""
    values = [axis.low, axis.high, *(point.x for point in _all_points(axis))]
    numbers = [number for value in values if (number := _number(axis, value)) is not None]
    return min(numbers, default=0.1), max(numbers, default=1.0)


def _x_axis(axis: Axis) -> dict[str, Json]:
    title: dict[str, Json] = {"title": {"text": plain(axis.name)}}
    if axis.choices or axis.low is None or axis.high is None:
        return title | choices_axis(axis.choices)
    low, high = _drawn_range(axis)
    if axis.scale == "linear":
        slack = 0.05 * (high - low)
        return title | {"range": [low - slack, high + slack]}
    # Of `log_one_minus` 1 - value is plotted, falling; the ticks tell the value.
    return title | log_axis(low, high, reverse=axis.scale == "log_one_minus")


def choices_axis(choices: Sequence[Value]) -> dict[str, Json]:
    """A horizontal axis with the choices at 0, 1, 2, ..."""
    texts = [plain(value_text(choice)) for choice in choices]
    ticks = list(range(len(texts)))
    return {"tickvals": ticks, "ticktext": texts, "range": [-0.6, len(texts) - 0.4], "showgrid": False}


def log_axis(low: float, high: float, *, reverse: bool = False) -> dict[str, Json]:
    """A logarithmic axis with ticks that one can read; in reverse they tell 1 - position."""
    ends = log_slack(low, high, 0.05)
    positions = log_ticks(low, high)
    return {
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


def _edge(x: float) -> dict[str, Json]:
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 1, "dash": "dot"}}


def _all_points(axis: Axis) -> list[AxisPoint]:
    return [*axis.completed, *axis.infeasible, *axis.failed]


def _strip_axis(names: Sequence[str], bottom: float) -> dict[str, Json]:
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
