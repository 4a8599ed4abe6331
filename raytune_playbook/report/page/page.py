"""The page of a round: one HTML file that holds everything, readable offline and by anybody.

Rules IN17 and SD12: it comes without being asked for, and spans all studies of the round.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from raytune_playbook.analysis.axis import axes
from raytune_playbook.analysis.best import best_of_each_study, worth_showing
from raytune_playbook.analysis.curves import TrialCurves, curves_of, metrics_at
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.figures import Colours, axis_figure, colours_of, curves_figure, trial_name
from raytune_playbook.report.page import conclusion, evaluations, evidence
from raytune_playbook.report.page.input_pipeline import input_pipeline
from raytune_playbook.report.reading import RoundReading, read_logs, read_measurements, read_profiles, read_round
from raytune_playbook.study.settings import Objective

PATH = "report/index.html"
"""Where the page lies within the round's folder."""

MAX_TRIALS_WITH_CURVES = 200
"""More trials than this show the curves of the best ones only, to keep the page small."""

BEST_PER_STUDY = 3
"""Trials of each study whose curves are shown at first."""

MAX_POINTS_PER_CURVE = 400


def write_page(store: RoundStore, *, objective: Objective | None = None) -> str:
    """Write a round's page to ``<round>/report/index.html``, whether the round has finished or not.

    Args:
        store: the round's folder.
        objective: judges the trials by another objective than the round's (rule QR5).

    Returns:
        The page's path or URI.

    Raises:
        StorageError: there is no such round.
    """
    reading = read_round(store, objective=objective)
    colours = colours_of([study.name for study in reading.studies])
    shown = worth_showing(reading.trials, reading.objective, MAX_TRIALS_WITH_CURVES)
    tables = read_measurements(store, shown)
    best = [arm.best for arm in reading.summary.arms if arm.best is not None]
    # `worth_showing` starts with the best of each study, so that their measurements are there.
    metrics = {trial.id: metrics_at(tables.get(trial.id), trial.best_step) for trial in best}
    curves = [curves_of(trial.id, tables.get(trial.id), max_points=MAX_POINTS_PER_CURVE) for trial in shown]

    axis_figures = {
        f"axis-{place}": axis_figure(axis, reading.objective, colours, best)
        for place, axis in enumerate(axes(reading.studies, reading.trials))
        if axis.completed or axis.infeasible or axis.failed
    }
    curve_figures = _curve_figures(reading, shown, curves, colours)
    body = [
        conclusion.header(reading),
        conclusion.answer(reading, colours, metrics),
        evaluations.sample(reading, colours, tables),
        evaluations.classes(reading, colours, tables),
        input_pipeline(reading, colours, read_profiles(store, reading.studies)),
        conclusion.warnings(reading),
        conclusion.caveats(reading),
        evidence.plots_nav(reading, colours) if axis_figures or curve_figures else "",
        evidence.axis_plots(list(axis_figures)),
        evidence.curve_plots(
            [(f"curves-{place}", title) for place, title in enumerate(curve_figures)],
            num_best=BEST_PER_STUDY if best else None,
            num_shown=len(shown),
            num_trials=len(reading.trials),
        ),
        evidence.trials_table(reading, colours, read_logs(store, reading.studies)),
        evidence.reproduction(reading, store.notes()),
    ]
    figures = axis_figures | {f"curves-{place}": figure for place, figure in enumerate(curve_figures.values())}
    page = _page(reading.record.name, "\n".join(part for part in body if part), figures, _hover(reading))
    store.storage.write(f"{store.name}/{PATH}", page.encode())
    return f"{store.uri}/{PATH}"


def _curve_figures(
    reading: RoundReading, shown: Sequence[Trial], curves: Sequence[TrialCurves], colours: Colours
) -> dict[str, go.Figure]:
    """A figure by its title for every metric, the objective's first, then the metrics of single training steps."""
    objective = reading.objective
    ranks = {
        trial.id: rank
        for chosen in best_of_each_study(reading.trials, objective, BEST_PER_STUDY).values()
        for rank, trial in enumerate(chosen)
    }
    if not ranks:  # nothing completed yet: show what there is
        ranks = {trial.id: 1 for trial in shown}
    # The best is drawn last, on top of the others.
    drawn = sorted(zip(shown, curves, strict=True), key=lambda pair: ranks.get(pair[0].id, len(ranks)), reverse=True)
    found = dict.fromkeys(metric for _, found in drawn for _, metric in found.evaluations)
    metrics = sorted(found, key=lambda metric: (metric != objective.metric, metric))
    figures = {}
    for metric in metrics:
        lines = [
            (
                trial,
                {split: curve for (split, name), curve in found.evaluations.items() if name == metric},
                ranks.get(trial.id, -1),
            )
            for trial, found in drawn
        ]
        marked = {
            trial.id: (trial.best_step, trial.objective)
            for trial in shown
            if metric == objective.metric and trial.best_step is not None and trial.objective is not None
        }
        figures[metric.capitalize()] = curves_figure(lines, y_title=metric, colours=colours, marked=marked)
    for metric, title in (("loss", "Loss of single training steps"), ("gradient_norm", "Gradient norm, unclipped")):
        steps = [
            (trial, {"step": found.steps[metric]}, ranks.get(trial.id, -1))
            for trial, found in drawn
            if metric in found.steps
        ]
        if steps:
            figures[title] = curves_figure(steps, y_title=metric.replace("_", " "), colours=colours)
    return figures


def _hover(reading: RoundReading) -> dict[str, str]:
    arms = {study.name: study.arm for study in reading.studies}
    return {trial_name(trial.id): evidence.hover_text(trial, arms[trial.study], reading) for trial in reading.trials}


def _page(title: str, body: str, figures: Mapping[str, go.Figure], hover: Mapping[str, str]) -> str:
    """The whole file. Its policy forbids the browser any request, whatever a record may hold."""
    data = {"figures": {name: figure.to_plotly_json() for name, figure in figures.items()}, "hover": hover}
    # Within a script element nothing but "</script" or "<!--" could end or change it.
    embedded = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    resources = files("raytune_playbook.report.page")
    style = resources.joinpath("page.css").read_text(encoding="utf-8")
    script = resources.joinpath("page.js").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
{body}
<script type="application/json" id="page-data">{embedded}</script>
<script>{get_plotlyjs()}</script>
<script>
{script}</script>
</body>
</html>
"""
