"""Where in training the trials are best, which says whether they are trained long enough (rule IN14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures.figure import Figure, Json, plain
from raytune_playbook.report.figures.style import GOLDEN, GREY, HOVER_TRIAL, MARGIN, Look, Looks, faint, trial_name

EARLY, LATE = 0.1, 0.75
"""Shares of training: best steps that are all before the first say it is too long, those after the second too short."""


def best_steps_figure(
    shares: Mapping[str, Sequence[tuple[Trial, float]]], texts: Mapping[str, str], looks: Looks
) -> Figure:
    """One row of marks for each study, at the share of training at which each trial was best.

    Args:
        shares: by study, its completed trials, each with its best step as a share of training.
        texts: what a study is called.
        looks: of the studies.
    """
    rows = list(shares)
    traces = [_row(shares[study], len(rows) - 1 - place, looks[study]) for place, study in enumerate(rows)]
    layout: dict[str, Json] = {
        "meta": {"kind": "best steps"},
        "xaxis": {"title": {"text": "best step, as a share of training"}, "tickformat": ".0%", "range": [-0.02, 1.02]},
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": [plain(texts.get(study, study)) for study in reversed(rows)],
            "range": [-0.6, len(rows) - 0.4],
            "showgrid": False,
        },
        "margin": {**MARGIN, "l": min(200, 24 + 7 * max((len(texts.get(row, row)) for row in rows), default=0))},
        "shapes": [_zone(0.0, EARLY), _zone(LATE, 1.0)],
        "annotations": [_word(EARLY / 2, "first 10%"), _word((LATE + 1) / 2, "last 25%")],
    }
    return Figure(tuple(traces), layout)


def _row(shares: Sequence[tuple[Trial, float]], height: int, look: Look) -> dict[str, Json]:
    return {
        "type": "scatter",
        "x": [round(share, 4) for _, share in shares],
        "y": [height + 0.6 * ((number * GOLDEN) % 1 - 0.5) for number in range(len(shares))],
        "mode": "markers",
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 8, "opacity": 0.75},
        "meta": {"study": shares[0][0].study if shares else None},
        "customdata": [trial_name(trial.id) for trial, _ in shares],
        "hovertemplate": HOVER_TRIAL,
    }


def _zone(start: float, end: float) -> dict[str, Json]:
    return {
        "type": "rect", "x0": start, "x1": end, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
        "fillcolor": faint(GREY, 0.14), "line": {"width": 0},
    }  # fmt: skip


def _word(x: float, text: str) -> dict[str, Json]:
    return {
        "x": x,
        "y": 1.0,
        "yref": "paper",
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
        "font": {"size": 10},
    }
