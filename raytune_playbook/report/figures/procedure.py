"""The plots of a procedure's record: lines and marks of a few series, as the record says them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from raytune_playbook.records.procedures import ShownLine, ShownPlot, ShownSeries
from raytune_playbook.report.figures.figure import Figure, Json, plain, rounded
from raytune_playbook.report.figures.style import COLOURS, GREY, MARGIN, SYMBOLS, faint
from raytune_playbook.report.figures.value_axis import log_values

_MODES = {"line": "lines", "points": "markers", "both": "lines+markers"}


def procedure_figure(plot: ShownPlot) -> Figure:
    """Draw a plot of a procedure's record."""
    colours, symbols = list(COLOURS), list(SYMBOLS)
    traces: list[Mapping[str, Json]] = []
    place = 0
    for series in plot.series:
        if series.is_reference:
            traces.append(_reference(series))
            continue
        traces += _series(series, colours[place % len(colours)], symbols[place % len(symbols)])
        place += 1
    layout: dict[str, Json] = {
        "meta": {"kind": "procedure"},
        "xaxis": {"title": {"text": plain(plot.x_name)}, **_scale(plot.x_scale, _finite(s.x for s in plot.series))},
        "yaxis": {"title": {"text": plain(plot.y_name)}, **_scale(plot.y_scale, _finite(s.y for s in plot.series))},
        "margin": MARGIN,
        "showlegend": len(plot.series) > 1,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "shapes": [_shape(line) for line in plot.lines],
        "annotations": [_word(line, plot) for line in plot.lines],
    }
    return Figure(tuple(traces), layout)


def _series(series: ShownSeries, colour: str, symbol: str) -> list[Mapping[str, Json]]:
    common: dict[str, Json] = {
        "x": rounded(series.x),
        "y": _rounded(series.y),
        "name": plain(series.name),
        "hovertemplate": f"{plain(series.name)}: %{{y:.4g}} at %{{x:.4g}}<extra></extra>",
    }
    if series.style == "bars":
        return [{**common, "type": "bar", "marker": {"color": colour}}]
    band = _band(series, colour) if series.low and series.style == "line" else []
    drawn: dict[str, Json] = {
        **common,
        "type": "scatter",
        "mode": _MODES[series.style],
        "line": {"color": colour, "width": 1.8},
        "marker": {"color": colour, "symbol": symbol, "size": 7},
    }
    if series.low and series.style != "line":
        drawn["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": _gaps(series.high, series.y),
            "arrayminus": _gaps(series.y, series.low),
            "color": colour,
            "thickness": 1.2,
            "width": 3,
        }
    return [*band, drawn]


def _band(series: ShownSeries, colour: str) -> list[Mapping[str, Json]]:
    edge: dict[str, Json] = {
        "type": "scatter",
        "mode": "lines",
        "x": rounded(series.x),
        "line": {"color": colour, "width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    filled: dict[str, Json] = {"fill": "tonexty", "fillcolor": faint(colour, 0.18)}
    return [{**edge, "y": _rounded(series.high)}, {**edge, "y": _rounded(series.low), **filled}]


def _reference(series: ShownSeries) -> Mapping[str, Json]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": rounded(series.x),
        "y": _rounded(series.y),
        "name": plain(series.name),
        "line": {"color": GREY, "width": 1.4, "dash": "dash"},
        "hoverinfo": "skip",
    }


def _shape(line: ShownLine) -> dict[str, Json]:
    drawn: dict[str, Json] = {"type": "line", "line": {"color": GREY, "width": 1.2, "dash": "dot"}}
    if line.x is not None:
        return {**drawn, "x0": line.x, "x1": line.x, "yref": "paper", "y0": 0, "y1": 1}
    return {**drawn, "y0": line.y, "y1": line.y, "xref": "paper", "x0": 0, "x1": 1}


def _word(line: ShownLine, plot: ShownPlot) -> dict[str, Json]:
    """What a line means, at its end; on a logarithmic axis plotly places words by the logarithm, unlike shapes."""
    word: dict[str, Json] = {"text": plain(line.text), "showarrow": False, "font": {"size": 10}}
    if line.x is not None:
        at = rounded([_placed(line.x, plot.x_scale)])[0]
        return {**word, "x": at, "yref": "paper", "y": 0.02, "xanchor": "left", "yanchor": "bottom", "textangle": -90}
    at = rounded([_placed(line.y or 0.0, plot.y_scale)])[0]
    return {**word, "y": at, "xref": "paper", "x": 1, "xanchor": "right", "yanchor": "bottom"}


def _scale(scale: str, values: Sequence[float]) -> dict[str, Json]:
    positive = [value for value in values if value > 0]
    return log_values(min(positive), max(positive)) if scale == "log" and positive else {}


def _placed(value: float, scale: str) -> float:
    return math.log10(value) if scale == "log" and value > 0 else value


def _finite(parts: Iterable[Sequence[float | None]]) -> list[float]:
    return [value for part in parts for value in part if value is not None and math.isfinite(value)]


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    return rounded(math.nan if value is None else value for value in values)


def _gaps(upper: Sequence[float | None], lower: Sequence[float | None]) -> list[float | None]:
    """How far one lies above the other; 0 where one is missing."""
    pairs = zip(upper, lower, strict=True)
    return rounded(0.0 if above is None or below is None else above - below for above, below in pairs)
