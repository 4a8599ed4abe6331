"""Training curves: metrics against the training step (rule IN5).

A figure holds the lines of all trials that the page has curves of, and is where a trial's own view finds them; the
page's script draws those that are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.series.curves import Curve
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.figures.figure import Figure, Json, plain, rounded
from raytune_playbook.report.figures.style import HOVER_TRIAL, MARGIN, Looks, trial_name
from raytune_playbook.report.figures.value_axis import log_values

_DASHES = {"validation": "solid", "train": "dash", "step": "solid"}

LOG_FROM = 10.0
"""Values that are all positive and span more than this have a logarithmic axis."""

CLIPPED_FROM = 2.0
"""Positive values that span more than this leave out the beginning where it takes most of the height."""

EARLY_SHARE = 0.2
"""Of training: what is measured before is not what the axis is made for."""

Scale: TypeAlias = Literal["log", "clipped", "whole"]


@dataclass(frozen=True)
class TrialLines:
    """One trial's lines in a plot of training curves.

    Fields:
        trial: whose they are.
        curves: of a metric, by split.
        rank: within the trial's study: 0 for the best, from 1 for other good ones, None for those that are shown on
            demand only.
    """

    trial: Trial
    curves: Mapping[str, Curve]
    rank: int | None


def curves_figure(
    lines: Iterable[TrialLines],
    *,
    y_title: str,
    looks: Looks,
    marked: Mapping[TrialId, tuple[int, float]] | None = None,
    smoothing: float = 0.0,
) -> Figure:
    """A metric against the training step, one line per trial and split; training is dashed.

    The layout's ``meta`` has the vertical axes to choose from, and which of them tells the good trials apart best.

    Args:
        lines: of the trials, the last on top of the others.
        y_title: what is measured.
        looks: of the studies.
        marked: the best step of some trials with the value there, marked by a dot.
        smoothing: how much of the mean so far stays at each next point, as it is shown at first.
    """
    given = list(lines)
    traces = [trace for line in given for trace in _traces(line, looks, (marked or {}).get(line.trial.id))]
    shown = [line for line in given if line.rank is not None] or given
    values = np.array([value for line in shown for curve in line.curves.values() for value in curve.values])
    late = np.array([value for line in shown for curve in line.curves.values() for value in _late(curve)])
    axes = _axes(values[np.isfinite(values)], late[np.isfinite(late)])
    best: Scale = next(iter(axes))
    layout: dict[str, Json] = {
        "meta": {"kind": "curves", "axes": cast(Mapping[str, Json], axes), "scale": best, "smoothing": smoothing},
        "xaxis": {"title": {"text": "training step"}, "rangemode": "tozero"},
        "yaxis": {**axes[best], "title": {"text": plain(y_title)}},
        "margin": MARGIN,
    }
    return Figure(tuple(traces), layout)


def with_smoothed(traces: Sequence[Mapping[str, Json]], layout: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """Lines faint and their smoothed ones on top of them, as far as the layout asks for it; for files, as the page's
    script does for itself."""
    meta = layout.get("meta")
    weight = meta.get("smoothing") if isinstance(meta, Mapping) else None
    if not isinstance(weight, float) or weight == 0:
        return list(traces)
    lines = [trace for trace in traces if trace.get("mode") == "lines"]
    smooth = [{**trace, "y": smoothed(cast("Sequence[float | None]", trace["y"]), weight)} for trace in lines]
    others = [trace for trace in traces if trace.get("mode") != "lines"]
    return [*({**trace, "opacity": 0.2} for trace in lines), *smooth, *others]


def smoothed(values: Sequence[float | None], weight: float) -> list[float | None]:
    """An exponential moving average, corrected for its start; gaps stay gaps."""
    mean = known = 0.0
    means: list[float | None] = []
    for value in values:
        if value is not None:
            mean, known = weight * mean + (1 - weight) * value, weight * known + (1 - weight)
        means.append(None if value is None else mean / known)
    return means


def _traces(line: TrialLines, looks: Looks, marked: tuple[int, float] | None) -> list[dict[str, Json]]:
    trial, colour, is_shown = line.trial, looks[line.trial.study].colour, line.rank is not None
    meta: dict[str, Json] = {"study": trial.study, "trial": trial_name(trial.id), "best": is_shown}
    traces: list[dict[str, Json]] = [
        {
            "type": "scatter",
            **_steps(curve.steps.tolist()),
            "y": rounded(curve.values, 5),
            "mode": "lines" if len(curve.steps) > 1 else "markers",
            "line": {"color": colour, "width": 2.4 if line.rank == 0 else 1.2, "dash": _DASHES.get(split, "dot")},
            "opacity": 1.0 if is_shown else 0.4,
            "meta": {**meta, "split": split},
        }
        for split, curve in line.curves.items()
    ]
    if marked is not None:
        step, value = marked
        traces.append(
            {
                "type": "scatter",
                "x": [step],
                "y": [value],
                "mode": "markers",
                "marker": {"color": colour, "size": 9, "line": {"width": 1.5, "color": "white"}},
                "meta": {**meta, "role": "best step"},
                "customdata": [trial_name(trial.id)],
                "hovertemplate": HOVER_TRIAL,
            }
        )
    return traces


def _steps(steps: Sequence[int]) -> dict[str, Json]:
    """The horizontal positions; evenly spaced ones in two numbers, which keeps the page small."""
    apart = {after - before for before, after in pairwise(steps)}
    return {"x0": steps[0], "dx": apart.pop()} if len(apart) == 1 else {"x": list(steps)}


def _late(curve: Curve) -> Sequence[float]:
    """The values from after the beginning, when all trials are alike."""
    late: Sequence[float] = curve.values[curve.steps >= EARLY_SHARE * curve.steps[-1]]
    return late


def _axes(values: npt.NDArray[np.float64], late: npt.NDArray[np.float64]) -> dict[Scale, dict[str, Json]]:
    """The vertical axes to choose from, the one to begin with first.

    Differences between good trials are small beside the first step's error. A logarithmic axis shows them, and where
    zeros forbid it or a beginning is too near for it, a linear one that leaves out the beginning.
    """
    whole: dict[Scale, dict[str, Json]] = {"whole": {}}
    if len(values) == 0:
        return whole
    clipped: dict[Scale, dict[str, Json]] = {}
    if len(late) and (ends := _without_beginning(values, late)) is not None:
        clipped = {"clipped": {"range": ends}}
    linear = clipped | whole if clipped and _is_far(values, late) else whole | clipped
    positive = values[values > 0]
    if len(positive) < len(values) or len(positive) == 0:
        return linear
    low, high = float(positive.min()), float(np.quantile(positive, 0.995))
    log: dict[Scale, dict[str, Json]] = {"log": {**log_values(low, high), "range": _log_range(low, max(high, low))}}
    if high > LOG_FROM * low:
        return log | clipped | whole
    return linear | log if high > CLIPPED_FROM * low else whole | clipped | log


def _without_beginning(values: npt.NDArray[np.float64], late: npt.NDArray[np.float64]) -> list[float] | None:
    """The ends of an axis that leaves out the beginning, which lies above what comes later or, of a metric that grows,
    below it; None where there is nothing to leave out."""
    late_low, late_high = (float(np.quantile(late, share)) for share in (0.05, 0.95))
    above, below = float(values.max()) - late_high, late_low - float(values.min())
    if max(above, below) <= 0:
        return None
    if above >= below:
        high = late_high
        low = min(float(late.min()), float(values.min()) if values.min() >= 0 else high)
        return [low - 0.05 * (high - low), high + 0.1 * (high - low)] if high > low else None
    low, high = late_low, float(values.max())
    return [low - 0.1 * (high - low), high + 0.05 * (high - low)] if high > low else None


def _is_far(values: npt.NDArray[np.float64], late: npt.NDArray[np.float64]) -> bool:
    """Whether the beginning takes most of the height."""
    low, high = (float(np.quantile(late, share)) for share in (0.05, 0.95))
    spread = high - low
    return float(values.max() - values.min()) > 3 * spread


def _log_range(low: float, high: float) -> list[float]:
    ends = math.log10(low), math.log10(high)
    slack = 0.05 * max(ends[1] - ends[0], 0.1)
    return [ends[0] - slack, ends[1] + slack]
