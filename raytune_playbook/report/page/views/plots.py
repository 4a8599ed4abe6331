"""The page's plots: which there are, and their titles; `raytune_playbook.report.figures` draws them.

A new plot is a function there and an entry in the view here, which `templates/plots.html.j2` gives a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import pyarrow as pa

from raytune_playbook.analysis.axis import axes
from raytune_playbook.analysis.best import best_of_each_study
from raytune_playbook.analysis.curves import TrialCurves, curves_of
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.figures.hyperparameter_axis import axis_figure
from raytune_playbook.report.figures.style import Looks
from raytune_playbook.report.figures.training_curves import TrialLines, curves_figure
from raytune_playbook.report.formatting import arm_text
from raytune_playbook.report.reading import RoundReading

BEST_PER_STUDY = 3
"""Trials of each study whose curves are shown at first."""

MAX_POINTS_PER_CURVE = 400

_STEP_METRICS = {"loss": "Loss of single training steps", "gradient_norm": "Gradient norm, unclipped"}


@dataclass(frozen=True)
class LegendEntry:
    """A study and its scientific values: a click hides or shows it in all plots and the table."""

    study: str
    arm: str


@dataclass(frozen=True)
class Plot:
    """A figure, the name of its place on the page, and its title (empty: its axis says what it shows)."""

    name: str
    title: str
    figure: go.Figure


@dataclass(frozen=True)
class PlotsView:
    """All plots.

    Fields:
        legend: empty for a single study.
        axes: one for each hyperparameter (rule IN11).
        curves: one for each metric (rule IN5).
        num_best: trials of each study whose curves are shown at first; None where none was completed, and all are.
        num_with_curves: trials whose curves the page holds.
        num_trials: of the round.
    """

    legend: tuple[LegendEntry, ...]
    axes: tuple[Plot, ...]
    curves: tuple[Plot, ...]
    num_best: int | None
    num_with_curves: int
    num_trials: int

    @property
    def all(self) -> tuple[Plot, ...]:
        """Every plot of the page."""
        return self.axes + self.curves


def plots_view(
    reading: RoundReading, looks: Looks, shown: Sequence[Trial], tables: Mapping[TrialId, pa.Table]
) -> PlotsView:
    """Draw a round's plots.

    Args:
        reading: the round.
        looks: of its studies.
        shown: trials whose curves are drawn.
        tables: their measurements.
    """
    best = [arm.best for arm in reading.summary.arms if arm.best is not None]
    curves = _curve_figures(reading, looks, shown, tables)
    return PlotsView(
        legend=tuple(LegendEntry(study.name, arm_text(study.arm, study.name)) for study in reading.studies)
        if len(reading.studies) > 1
        else (),
        axes=tuple(
            Plot(f"axis-{place}", "", axis_figure(axis, reading.objective, looks, best))
            for place, axis in enumerate(axes(reading.studies, reading.trials))
            if axis.completed or axis.infeasible or axis.failed
        ),
        curves=tuple(Plot(f"curves-{place}", *titled) for place, titled in enumerate(curves.items())),
        num_best=BEST_PER_STUDY if best else None,
        num_with_curves=len(shown),
        num_trials=len(reading.trials),
    )


def _curve_figures(
    reading: RoundReading, looks: Looks, shown: Sequence[Trial], tables: Mapping[TrialId, pa.Table]
) -> dict[str, go.Figure]:
    """A figure by its title for every metric, the objective's first, then the metrics of single training steps."""
    objective = reading.objective
    ranks = _ranks(reading, shown)
    drawn = [
        (trial, curves_of(trial.id, tables.get(trial.id), max_step_points=MAX_POINTS_PER_CURVE)) for trial in shown
    ]
    # The best is drawn last, on top of the others.
    drawn.sort(key=lambda pair: ranks.get(pair[0].id, len(ranks)), reverse=True)
    found = dict.fromkeys(metric for _, curves in drawn for _, metric in curves.evaluations)
    figures = {}
    for metric in sorted(found, key=lambda metric: (metric != objective.metric, metric)):
        figures[metric.capitalize()] = curves_figure(
            [_evaluations(trial, curves, metric, ranks) for trial, curves in drawn],
            y_title=metric,
            looks=looks,
            marked=_best_steps(shown) if metric == objective.metric else None,
        )
    for metric, title in _STEP_METRICS.items():
        steps = [
            TrialLines(trial, {"step": curves.steps[metric]}, ranks.get(trial.id))
            for trial, curves in drawn
            if metric in curves.steps
        ]
        if steps:
            figures[title] = curves_figure(steps, y_title=metric.replace("_", " "), looks=looks)
    return figures


def _ranks(reading: RoundReading, shown: Sequence[Trial]) -> dict[TrialId, int]:
    """The place of each study's best trials within it, from 0; those that are shown at first."""
    chosen = best_of_each_study(reading.trials, reading.objective, BEST_PER_STUDY).values()
    ranks = {trial.id: rank for best in chosen for rank, trial in enumerate(best)}
    return ranks or {trial.id: 1 for trial in shown}  # nothing completed yet: show what there is


def _evaluations(trial: Trial, curves: TrialCurves, metric: str, ranks: Mapping[TrialId, int]) -> TrialLines:
    by_split = {split: curve for (split, name), curve in curves.evaluations.items() if name == metric}
    return TrialLines(trial, by_split, ranks.get(trial.id))


def _best_steps(trials: Sequence[Trial]) -> dict[TrialId, tuple[int, float]]:
    """The best step of each trial that has one, and the objective there."""
    return {
        trial.id: (trial.best_step, trial.objective)
        for trial in trials
        if trial.best_step is not None and trial.objective is not None
    }
