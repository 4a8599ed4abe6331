"""Which hyperparameters explain the objective (rule IN15)."""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.plots.importance import Importance
from raytune_playbook.report.figures.figure import Figure, Json, plain, rounded
from raytune_playbook.report.figures.style import MARGIN, Look, Looks

MAX_INTERACTIONS = 5
"""Of each study, the strongest."""

CHANCE_LEVEL = 0.05
"""Bars are faint where chance explains as much more often than this."""

FAINT = 0.3
"""Their opacity."""


def importance_figure(importances: Sequence[Importance], looks: Looks) -> Figure:
    """The share of the objective's variance that each hyperparameter, and each pair of them, explains.

    Args:
        importances: one for each study.
        looks: of the studies.
    """
    totals: dict[str, float] = {}
    for importance in importances:
        for name, share in _bars(importance).items():
            totals[name] = totals.get(name, 0.0) + share
    names = sorted(totals, key=lambda name: totals[name])  # plotly counts from below
    traces = [_trace(importance, names, looks[importance.study]) for importance in importances]
    longest = max((len(name) for name in names), default=0)
    layout: dict[str, Json] = {
        "meta": {"kind": "importance"},
        "barmode": "group",
        "bargap": 0.35,
        "xaxis": {
            "title": {"text": "variance explained"},
            "tickformat": ".0%",
            "rangemode": "tozero",
        },
        "yaxis": {"tickvals": list(range(len(names))), "ticktext": [plain(name) for name in names], "showgrid": False},
        "margin": {**MARGIN, "l": min(240, 20 + 7 * longest)},
    }
    return Figure(tuple(traces), layout)


def _bars(importance: Importance) -> dict[str, float]:
    pairs = {" and ".join(pair.names): pair.share for pair in importance.interactions[:MAX_INTERACTIONS]}
    return dict(importance.shares) | pairs


def _trace(importance: Importance, names: Sequence[str], look: Look) -> dict[str, Json]:
    bars = _bars(importance)
    return {
        "type": "bar",
        "orientation": "h",
        "x": rounded([bars.get(name, 0.0) for name in names], 4),
        "y": list(range(len(names))),
        "marker": {"color": look.colour},
        "opacity": FAINT if importance.p_value > CHANCE_LEVEL else 1.0,
        "meta": {"study": importance.study},
        "hovertemplate": f"%{{x:.1%}} of {importance.num_trials} trials' variance<extra></extra>",
    }
