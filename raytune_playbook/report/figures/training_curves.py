"""Training curves: metrics against the training step (rule IN5)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from raytune_playbook.analysis.curves import Curve
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.figures.style import MARGIN, Looks, trial_name, value_axis

_DASHES = {"validation": "solid", "train": "dash", "step": "solid"}


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
) -> go.Figure:
    """A metric against the training step, one line per trial and split; training is dashed.

    Args:
        lines: of the trials, the last on top of the others.
        y_title: what is measured.
        looks: of the studies.
        marked: the best step of some trials with the value there, marked by a dot.
    """
    figure = go.Figure()
    shown: list[float] = []
    for line in lines:
        trial, colour, is_shown = line.trial, looks[line.trial.study].colour, line.rank is not None
        for split, curve in line.curves.items():
            values = [float(f"{value:.6g}") if math.isfinite(value) else None for value in curve.values]
            shown += [value for value in values if value is not None]
            figure.add_scatter(
                x=curve.steps.tolist(),
                y=values,
                mode="lines" if len(values) > 1 else "markers",
                line={"color": colour, "width": 2.4 if line.rank == 0 else 1.2, "dash": _DASHES.get(split, "dot")},
                opacity=1.0 if is_shown else 0.4,
                visible=is_shown,
                meta={"study": trial.study, "best": is_shown, "trial": trial_name(trial.id)},
                hovertemplate=f"{trial.text} {split}: %{{y:.4g}} at step %{{x}}<extra></extra>",
            )
        if marked and trial.id in marked and is_shown:
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
        yaxis={**value_axis(shown), "title": {"text": y_title}},
        margin=MARGIN,
    )
    return figure
