"""How far a search has come: the best so far over its trials, and the best of N of them (rule IN2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.evidence import Arm
from raytune_playbook.analysis.plots.tuning_curve import TuningCurve
from raytune_playbook.report.figures.figure import Figure, Json, plain, rounded
from raytune_playbook.report.figures.style import (
    GREY,
    HOVER_TRIAL,
    MARGIN,
    Look,
    Looks,
    faint,
    trial_name,
)
from raytune_playbook.report.figures.value_axis import scale_of
from raytune_playbook.study.settings import Objective


def best_so_far_figure(arms: Sequence[Arm], objective: Objective, looks: Looks) -> Figure:
    """The best objective that each scientific value has reached after so many trials."""
    traces, drawn = [], []
    for place, arm in enumerate(arms):
        held, objectives = _best_so_far(arm, objective)
        if any(value is not None for value in objectives):
            # Lines of equal height lie on each other: the first ones are wider, and show beneath the others.
            beneath = 5.0 * (1 - (place + 1) / len(arms))
            traces.append(_steps(arm, held, objectives, looks[arm.study], beneath))
            drawn += [value for value in objectives if value is not None]
    layout: dict[str, Json] = {
        "meta": {"kind": "best so far"},
        "xaxis": {"title": {"text": "trials of the study, in their order"}, "rangemode": "tozero"},
        "yaxis": {**scale_of(drawn), "title": {"text": f"best {plain(objective.name)} so far"}},
        "margin": MARGIN,
    }
    return Figure(tuple(traces), layout)


def _best_so_far(arm: Arm, objective: Objective) -> tuple[list[str | None], list[float | None]]:
    """After each trial that has ended: which trial is the best by then, and its objective."""
    best: float | None = None
    name: str | None = None
    held: list[str | None] = []
    objectives: list[float | None] = []
    completed = {trial.id for trial in arm.ranked}
    for trial in arm.ended:
        value = trial.objective if trial.id in completed else None
        if value is not None and (best is None or objective.is_better(value, best)):
            best, name = value, trial_name(trial.id)
        held.append(name)
        objectives.append(best)
    return held, objectives


def _steps(
    arm: Arm, held: Sequence[str | None], objectives: Sequence[float | None], look: Look, beneath: float
) -> dict[str, Json]:
    return {
        "type": "scatter",
        "x": list(range(1, len(objectives) + 1)),
        "y": list(objectives),
        "mode": "lines+markers",
        "line": {"color": look.colour, "width": 1.8 + beneath, "shape": "hv"},
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 6 + beneath},
        # In the trials' order, for the page to judge them by another objective.
        "meta": {"study": arm.study, "role": "best so far", "trials": [trial_name(trial.id) for trial in arm.ended]},
        "customdata": list(held),
        "hovertemplate": HOVER_TRIAL,
    }


def tuning_curve_figure(curve: TuningCurve, objective: Objective, look: Look) -> Figure:
    """What the best of N trials of a study comes to, as in the playbook's Figure 3.

    The median, its quartiles and, dotted, the band in which the true median lies; grey where the trials are too few to
    tell.
    """
    trusted = min(curve.trusted_up_to, len(curve.num_trials))
    traces = [*_quartiles(curve, look.colour, 0, trusted), *_band(curve, look.colour, 0, trusted)]
    traces.append(_median(curve, {"color": look.colour, "width": 2.4}, 0, trusted))
    if trusted < len(curve.num_trials):
        start = max(0, trusted - 1)  # joined to what is trusted
        traces += [*_quartiles(curve, GREY, start, None), *_band(curve, GREY, start, None)]
        traces.append(_median(curve, {"color": GREY, "width": 2, "dash": "dash"}, start, None))
    shown = [value for value in (*curve.lower_quartile, *curve.upper_quartile) if np.isfinite(value)]
    layout: dict[str, Json] = {
        "meta": {"kind": "best of N"},
        "xaxis": {"title": {"text": "number of trials, N"}, "rangemode": "tozero"},
        "yaxis": {**_holding(shown), "title": {"text": f"best {plain(objective.name)} of N"}},
        "margin": MARGIN,
    }
    return Figure(tuple(trace for trace in traces if trace["x"]), layout)


def _holding(values: Sequence[float]) -> dict[str, Json]:
    """A vertical axis of just these values, of which what is far from them takes no height."""
    axis = scale_of(values)
    if not values or max(values) == min(values):
        return axis
    is_log = axis.get("type") == "log"
    low, high = (math.log10(end) if is_log else end for end in (min(values), max(values)))
    slack = 0.1 * (high - low)
    return {**axis, "range": [low - slack, high + slack]}


def _median(curve: TuningCurve, line: Mapping[str, Json], start: int, end: int | None) -> dict[str, Json]:
    return {
        **_line(curve, curve.median, line, start, end),
        "hoverinfo": "all",
        "hovertemplate": "best of %{x}: %{y:.4g}, the median<extra></extra>",
    }


def _quartiles(curve: TuningCurve, colour: str, start: int, end: int | None) -> list[dict[str, Json]]:
    none: dict[str, Json] = {"color": colour, "width": 0}
    upper = _line(curve, curve.upper_quartile, none, start, end)
    lower = _line(curve, curve.lower_quartile, none, start, end)
    return [upper, {**lower, "fill": "tonexty", "fillcolor": faint(colour, 0.18)}]


def _band(curve: TuningCurve, colour: str, start: int, end: int | None) -> list[dict[str, Json]]:
    dotted: dict[str, Json] = {"color": colour, "width": 1, "dash": "dot"}
    return [_line(curve, side, dotted, start, end) for side in (curve.band_low, curve.band_high)]


def _line(
    curve: TuningCurve, values: npt.NDArray[np.float64], line: Mapping[str, Json], start: int, end: int | None
) -> dict[str, Json]:
    return {
        "type": "scatter",
        "x": curve.num_trials[start:end].tolist(),
        "y": rounded(values[start:end]),
        "mode": "lines",
        "line": line,
        "meta": {"study": None},
        "hoverinfo": "skip",
    }
