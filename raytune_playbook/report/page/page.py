"""The page of a round: one HTML file that holds everything, readable offline and by anybody.

Rules IN17 and SD12: it comes without being asked for, and spans all studies of the round.

A section is a view (a function from what was read to plain data, in `views/`) and a template (in `templates/`, which
lays it out). To add one, write both, add the view's field to `PageView`, and include the template in `page.html.j2`.
"""

from __future__ import annotations

from raytune_playbook.analysis.best import worth_showing
from raytune_playbook.analysis.curves import metrics_at
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.figures.style import looks_of, trial_name
from raytune_playbook.report.page.rendering import render
from raytune_playbook.report.page.views.answer import answer_view
from raytune_playbook.report.page.views.evaluations import classes_view, sample_view
from raytune_playbook.report.page.views.header import header_view
from raytune_playbook.report.page.views.input_pipeline import input_pipeline_view
from raytune_playbook.report.page.views.page import PageView
from raytune_playbook.report.page.views.plots import plots_view
from raytune_playbook.report.page.views.reproduction import reproduction_view
from raytune_playbook.report.page.views.scores import scores_view
from raytune_playbook.report.page.views.search_space import search_space_view
from raytune_playbook.report.page.views.trials import hover_view, trials_view
from raytune_playbook.report.reading import RoundReading, read_all, read_logs, read_measurements, read_profiles
from raytune_playbook.report.rules import explained
from raytune_playbook.study.settings import Objective

PATH = "report/index.html"
"""Where the page lies within the round's folder."""

MAX_TRIALS_WITH_CURVES = 200
"""More trials than this show the curves of the best ones only, to keep the page small."""


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
    reading, _ = read_all(store, objective=objective)
    page = page_view(store, reading)
    store.storage.write(f"{store.name}/{PATH}", render(page).encode())
    return f"{store.uri}/{PATH}"


def page_view(store: RoundStore, reading: RoundReading) -> PageView:
    """What the page of a round says; reads what its sections need beside the reading."""
    looks = looks_of([study.name for study in reading.studies])
    arms = {study.name: study.arm for study in reading.studies}
    shown = worth_showing(reading.trials, reading.objective, MAX_TRIALS_WITH_CURVES)
    tables = read_measurements(store, shown)
    # `worth_showing` starts with the best of each study, so that their measurements are there.
    best = [arm.best for arm in reading.summary.arms if arm.best is not None]
    metrics = {trial.id: metrics_at(tables.get(trial.id), trial.best_step) for trial in best}
    return PageView(
        looks=looks,
        header=header_view(reading),
        answer=answer_view(reading, metrics),
        scores=scores_view(reading),
        sample=sample_view(reading, tables),
        classes=classes_view(reading, tables),
        input_pipeline=input_pipeline_view(reading, read_profiles(store, reading.studies)),
        warnings=(*reading.broken, *(explained(warning) for warning in reading.record.warnings)),
        search_space=search_space_view(reading),
        plots=plots_view(reading, looks, shown, tables),
        trials=trials_view(reading, read_logs(store, reading.studies)),
        reproduction=reproduction_view(reading, store.notes()),
        hover={trial_name(trial.id): hover_view(trial, arms[trial.study], reading) for trial in reading.trials},
    )
