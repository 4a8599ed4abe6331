"""A plot of the page by itself, as a notebook or a file shows it: with its title, legend and ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.errors import InputError
from raytune_playbook.records.types import Role
from raytune_playbook.report.figures.figure import Figure, Json, plain
from raytune_playbook.report.figures.plot import Plot
from raytune_playbook.report.figures.style import HOVER_TRIAL, looks_of, trial_name
from raytune_playbook.report.figures.training_curves import with_smoothed
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page.views.plots import plots_view

if TYPE_CHECKING:
    import plotly.graph_objects


def plots_of(insight: Insight) -> tuple[Plot, ...]:
    """Every plot of a round's page, in its order."""
    return plots_view(insight, looks_of([study.name for study in insight.evidence.studies])).all


def plotly_figure(insight: Insight, kind: str, of: str | None = None) -> plotly.graph_objects.Figure:
    """One of them, for plotly's own tools; pointing at a trial shows its facts.

    Args:
        insight: the round.
        kind: of plot, such as ``"isolation"`` or ``"axis"``; see `Plot.kind`.
        of: the hyperparameter, metric or study that it shows, where the round has several plots of the kind.

    Raises:
        InputError: the round has no such plot, or several.
    """
    from plotly.graph_objects import Figure as PlotlyFigure

    facts = {trial_name(trial.id): _facts(trial, insight.reading.record.roles) for trial in insight.evidence.trials}
    alone = standing_alone(_chosen(plots_of(insight), kind, of))
    traces = [_with_facts(trace, facts) for trace in cast("Sequence[Mapping[str, Json]]", alone["data"])]
    return PlotlyFigure({**alone, "data": traces})


def _chosen(plots: Sequence[Plot], kind: str, of: str | None) -> Plot:
    found = [plot for plot in plots if plot.kind == kind and of in (None, plot.of)]
    if len(found) == 1:
        return found[0]
    asked = repr(kind) if of is None else f"{kind!r} of {of!r}"
    if found:
        there = ", ".join(repr(plot.of) for plot in found)
        raise InputError(f"One plot is drawn at a time, but {len(found)} are {asked}; add of=, one of {there}.")
    there = ", ".join(dict.fromkeys(_call(plot, plots) for plot in plots))
    raise InputError(f"The round's page has no plot {asked}; there are {there}.")


def _call(plot: Plot, plots: Sequence[Plot]) -> str:
    """How one asks for it."""
    is_only = sum(other.kind == plot.kind for other in plots) == 1
    return repr(plot.kind) if is_only else f"{plot.kind!r} of {plot.of!r}"


def _facts(trial: Trial, roles: Mapping[str, Role]) -> str:
    """How a trial ended, and its values of what was not fixed."""
    varied = {name: value for name, value in trial.values.items() if roles.get(name) != "fixed"}
    return plain(str(replace(trial, values=varied))).replace("\n", "<br>")


def _with_facts(trace: Mapping[str, Json], facts: Mapping[str, str]) -> Mapping[str, Json]:
    """A trace whose points carry the names of trials, with their facts; the page's script does it for itself."""
    names = trace.get("customdata")
    if trace.get("hovertemplate") != HOVER_TRIAL or not isinstance(names, Sequence):
        return trace
    return {**trace, "text": [facts.get(str(name), "") for name in names]}


def standing_alone(plot: Plot) -> dict[str, Json]:
    """The figure with what the page has around it: title, legend and white ground; without what waits for a switch."""
    figure: Figure = plot.figure
    shown = with_smoothed([trace for trace in figure.data if _meta(trace).get("best", True)], figure.layout)
    layout: dict[str, Json] = {
        **figure.layout,
        **{name: {"zeroline": False, **axis} for name, axis in _axes(figure.layout)},
        "title": {"text": plot.title or plot.label},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 90, "r": 30, "t": 70, "b": 70},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    }
    return {"data": _named(shown), "layout": layout}


def _axes(layout: Mapping[str, Json]) -> list[tuple[str, Mapping[str, Json]]]:
    return [(name, axis) for name, axis in layout.items() if name[1:5] == "axis" and isinstance(axis, Mapping)]


def _named(traces: Sequence[Mapping[str, Json]]) -> list[Mapping[str, Json]]:
    """One entry in the legend for each study."""
    seen: set[str] = set()
    named: list[Mapping[str, Json]] = []
    for trace in traces:
        study = _meta(trace).get("study")
        is_first = isinstance(study, str) and study not in seen
        named.append({**trace, "name": study if isinstance(study, str) else "", "showlegend": is_first})
        seen |= {study} if isinstance(study, str) else set()
    return named


def _meta(trace: Mapping[str, Json]) -> Mapping[str, Json]:
    meta = trace.get("meta")
    return meta if isinstance(meta, Mapping) else {}
