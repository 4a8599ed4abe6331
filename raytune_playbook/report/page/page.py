"""The page of a round: one HTML file that holds everything, readable offline and by anybody.

Rules IN17, IN18 and SD12: it comes without being asked for, spans all studies of the round, and has the answer with
what is still open about it first.

A section is a view (a function from the insight to plain data, in `views/`) and a template (in `templates/`, which
lays it out). To add one, write both, add the view's field to `PageView`, and include the template in `page.html.j2`.
What answers to clicks is in `script/`.
"""

from __future__ import annotations

import re
from itertools import product

from raytune_playbook.analysis.series.curves import metrics_at
from raytune_playbook.records.procedures import ProcedureRecord, stale_facts
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.figures.style import looks_of
from raytune_playbook.report.formatting import deleted_checkpoints_text
from raytune_playbook.report.insight import Insight, insight_of
from raytune_playbook.report.page.extras import Extras, read_extras
from raytune_playbook.report.page.rendering import render
from raytune_playbook.report.page.views.answer import answer_view
from raytune_playbook.report.page.views.evaluations import classes_view, sample_view
from raytune_playbook.report.page.views.findings import findings_view
from raytune_playbook.report.page.views.header import header_view
from raytune_playbook.report.page.views.input_pipeline import input_pipeline_view
from raytune_playbook.report.page.views.next_study import next_study_view
from raytune_playbook.report.page.views.page import PageView
from raytune_playbook.report.page.views.plots import plots_view
from raytune_playbook.report.page.views.procedures import procedures_view
from raytune_playbook.report.page.views.reproduction import reproduction_view
from raytune_playbook.report.page.views.scores import scores_view
from raytune_playbook.report.page.views.search_space import search_space_view
from raytune_playbook.report.page.views.trials import page_data
from raytune_playbook.report.reading import RoundReading, judged_by, read_all
from raytune_playbook.study.settings import Objective

FOLDER = "report"
"""Within the round's folder."""

PATH = f"{FOLDER}/index.html"
"""Where the page lies within the round's folder."""


def write_page(store: RoundStore, *, objective: Objective | None = None) -> str:
    """Write a round's page to ``<round>/report/index.html``, whether the round has finished or not.

    Args:
        store: the round's folder.
        objective: judges the trials by another objective than the round's (rule QR5); such a page has a file of its
            own beside the round's.

    Returns:
        The page's path or URI.

    Raises:
        StorageError: there is no such round.
        SpecError: no evaluation of any trial reports that objective's metric.
    """
    insight = read_insight(store, objective=objective)
    path = path_of(objective, insight.reading.record.objective)
    store.storage.write(f"{store.name}/{path}", render_page(insight, read_extras(store, insight)).encode())
    return store.uri_of(path)


def read_insight(store: RoundStore, *, objective: Objective | None = None) -> Insight:
    """A round's records, looked at with the playbook's checklist; raises as `write_page` does."""
    reading, curves = read_all(store, objective=objective)
    return insight_of(reading, curves)


def path_of(objective: Objective | None, own: Objective) -> str:
    """Where a page lies within the round's folder, which judges the trials by an objective."""
    if objective is None or objective == own:
        return PATH
    words = f"{objective.split}-{objective.metric}-{objective.goal}-{objective.over}"
    return f"{FOLDER}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', words)}.html"


def read_insight_at(store: RoundStore, path: str) -> Insight | None:
    """A round as the page at a path within its folder judges it; None where no page of it lies there.

    Raises:
        StorageError: there is no such round.
    """
    reading, curves = read_all(store)
    own = reading.record.objective
    if path == PATH:
        return insight_of(reading, curves)
    evaluated = dict.fromkeys(name for each in curves.values() for name in each.evaluations)
    for split, metric in evaluated:
        if split not in ("train", "validation"):
            continue
        for goal, over in product(("minimize", "maximize"), ("best", "last")):
            objective = Objective.model_validate({"metric": metric, "split": split, "goal": goal, "over": over})
            if path_of(objective, own) == path:
                return insight_of(judged_by(reading, curves, objective), curves)
    return None


def render_page(insight: Insight, extras: Extras) -> str:
    """The whole file.

    Args:
        insight: the round, whichever tool has recorded it.
        extras: what else is known of it.
    """
    return render(page_view(insight, extras))


def page_view(insight: Insight, extras: Extras) -> PageView:
    """What the page of a round says."""
    reading = insight.reading
    looks = looks_of([study.name for study in reading.studies])
    best = [arm.best for arm in insight.evidence.arms if arm.best is not None]
    metrics = {trial.id: metrics_at(extras.measurements.get(trial.id), trial.best_step) for trial in best}
    return PageView(
        looks=looks,
        header=header_view(reading, extras.whole),
        answer=answer_view(insight, metrics),
        scores=scores_view(reading),
        findings=findings_view(insight),
        next_study=next_study_view(insight, extras.propose),
        procedures=procedures_view([(each, _stale(each, reading)) for each in reading.procedures]),
        plots=plots_view(insight, looks),
        sample=sample_view(reading, extras.measurements),
        classes=classes_view(reading, extras.measurements),
        input_pipeline=input_pipeline_view(reading, extras.profiles),
        search_space=search_space_view(reading),
        reproduction=reproduction_view(reading, extras.notes),
        deleted_checkpoints=deleted_checkpoints_text(reading.trials, reading.record.budget),
        data=page_data(insight, extras, looks),
    )


def _stale(procedure: ProcedureRecord, reading: RoundReading) -> dict[str, tuple[str, str]]:
    """What has changed since a procedure of the round; of one that the round is a part of its own page tells."""
    return stale_facts(procedure, reading.facts) if procedure.round == reading.record.name else {}
