"""Isolation plots: the best trial over the nuisance hyperparameters for each scientific value (rule IN12)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from raytune_playbook.analysis.evidence import same_text
from raytune_playbook.analysis.plots.isolation import Isolation, IsolationPoint
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures.figure import Figure, Json, plain
from raytune_playbook.report.figures.hyperparameter_axis import choices_axis, log_axis
from raytune_playbook.report.figures.style import (
    GOLDEN,
    HOVER_TRIAL,
    MARGIN,
    NO_STUDY,
    Look,
    Looks,
    trial_name,
)
from raytune_playbook.report.figures.value_axis import ValueAxis, value_axis
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective

_SPREAD = 0.36
"""How far the other trials of a choice stand from each other, of the distance between choices."""


def isolation_figure(isolation: Isolation, ranked: Sequence[Trial], objective: Objective, looks: Looks) -> Figure:
    """The best trial of each scientific value with its interval, and faint the other trials behind it.

    Args:
        isolation: the data.
        ranked: the round's completed trials, the best first.
        objective: names the vertical axis.
        looks: of the studies.
    """
    is_bucketed = any(point.edges is not None for point in isolation.points)
    groups = [[trial for trial in ranked if _is_at(trial, isolation.name, point)] for point in isolation.points]
    objectives = [trial.objective for members in groups for trial in members if trial.objective is not None]
    vertical = value_axis(objectives, objective, _held(isolation.points))
    traces: list[dict[str, Json]] = []
    for place, (point, members) in enumerate(zip(isolation.points, groups, strict=True)):
        look = _look(members, looks)
        xs = [_number(trial.values.get(isolation.name), isolation) for trial in members]
        if not is_bucketed:  # the best one lies at the middle, under its own mark
            xs = [place + _SPREAD * ((number * GOLDEN + 0.5) % 1 - 0.5) for number in range(len(members))]
        traces.append(_others(members, xs, place, look, vertical))
        if point.best is not None and point.best.objective is not None:
            x = _number(point.value, isolation) if is_bucketed else float(place)
            traces.append(_best(point, x, place, look, vertical))
    layout: dict[str, Json] = {
        "meta": {"kind": "isolation", "is_bucketed": is_bucketed},
        "xaxis": {"title": {"text": plain(isolation.name)}, **_x_axis(isolation, is_bucketed)},
        "yaxis": {**vertical.layout, "title": {"text": plain(objective.name)}},
        "margin": MARGIN,
        "shapes": [_edge(x) for x in _edges(isolation)],
        "annotations": vertical.notes(),
    }
    return Figure(tuple(traces), layout)


def _held(points: Sequence[IsolationPoint]) -> list[float]:
    """What the axis has to hold beside the trials: the intervals."""
    return [end for point in points if point.best is not None for end in point.interval or ()]


def _is_at(trial: Trial, name: str, point: IsolationPoint) -> bool:
    value = trial.values.get(name)
    if point.edges is None:
        return name in trial.values and same_text(value) == same_text(point.value)
    low, high = point.edges
    return isinstance(value, int | float) and low <= value <= high


def _look(trials: Sequence[Trial], looks: Looks) -> Look:
    """The look of their study, where all are of one."""
    studies = {trial.study for trial in trials}
    return looks.get(studies.pop(), NO_STUDY) if len(studies) == 1 else NO_STUDY


def _others(
    trials: Sequence[Trial], xs: Sequence[float | None], place: int, look: Look, vertical: ValueAxis
) -> dict[str, Json]:
    objectives = [trial.objective for trial in trials]
    given: dict[str, Json] = {"symbol": look.symbol, "color": look.colour, "size": 7, "opacity": 0.35}
    return {
        "type": "scatter",
        "x": list(xs),
        "y": [vertical.height(value) for value in objectives],
        "mode": "markers",
        "marker": vertical.marker(objectives, given),
        "meta": {
            "study": trials[0].study if trials and look is not NO_STUDY else None,
            "role": "others",
            "at": place,
            "marker": given,
        },
        "customdata": [trial_name(trial.id) for trial in trials],
        "hovertemplate": HOVER_TRIAL,
    }


def _best(point: IsolationPoint, x: float | None, place: int, look: Look, vertical: ValueAxis) -> dict[str, Json]:
    trial = point.best
    assert trial is not None and trial.objective is not None  # whoever calls has looked
    white: dict[str, Json] = {"width": 1.5, "color": "white"}
    given: dict[str, Json] = {"symbol": look.symbol, "color": look.colour, "size": 13, "line": white}
    trace: dict[str, Json] = {
        "type": "scatter",
        "x": [x],
        "y": [vertical.height(trial.objective)],
        "mode": "markers",
        "marker": vertical.marker([trial.objective], given),
        "meta": {
            "study": None if look is NO_STUDY else trial.study,
            "role": "best",
            "at": place,
            "marker": given,
        },
        "customdata": [trial_name(trial.id)],
        "hovertemplate": HOVER_TRIAL,
    }
    if point.interval is not None:
        low, high = point.interval
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, high - trial.objective)],
            "arrayminus": [max(0.0, trial.objective - low)],
            "color": look.colour,
            "thickness": 2,
            "width": 8,
        }
    return trace


def _number(value: Value, isolation: Isolation) -> float | None:
    if isinstance(value, str) or value is None or not math.isfinite(value):
        return None
    return 1 - value if isolation.scale == "log_one_minus" else float(value)


def _edges(isolation: Isolation) -> list[float]:
    """Between buckets."""
    edges = sorted({edge for point in isolation.points for edge in point.edges or ()})
    return [1 - edge for edge in edges] if isolation.scale == "log_one_minus" else edges


def _edge(x: float) -> dict[str, Json]:
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 1, "dash": "dot"}}


def _x_axis(isolation: Isolation, is_bucketed: bool) -> dict[str, Json]:
    if not is_bucketed:
        return choices_axis([point.value for point in isolation.points])
    edges = _edges(isolation)
    low, high = min(edges), max(edges)
    if isolation.scale == "linear" or low <= 0:
        slack = 0.05 * (high - low)
        return {"range": [low - slack, high + slack]}
    return log_axis(low, high, reverse=isolation.scale == "log_one_minus")
