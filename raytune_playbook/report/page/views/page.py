"""Everything that a round's page says, section by section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raytune_playbook.report.figures.figure import Json
from raytune_playbook.report.figures.style import Looks
from raytune_playbook.report.page.views.answer import AnswerView
from raytune_playbook.report.page.views.evaluations import ClassesView, SampleView
from raytune_playbook.report.page.views.findings import FindingsView
from raytune_playbook.report.page.views.header import HeaderView
from raytune_playbook.report.page.views.input_pipeline import InputPipelineView
from raytune_playbook.report.page.views.next_study import NextStudyView
from raytune_playbook.report.page.views.plots import PlotsView
from raytune_playbook.report.page.views.procedures import ProceduresView
from raytune_playbook.report.page.views.reproduction import ReproductionView
from raytune_playbook.report.page.views.scores import ScoresView
from raytune_playbook.report.page.views.search_space import SearchSpaceView


@dataclass(frozen=True)
class PageView:
    """What the page says; a section is None where a round has nothing to say of it.

    Fields beside the sections: ``looks`` (of the studies), ``deleted_checkpoints`` (a sentence, where some were) and
    ``data`` (what the script knows of the trials).
    """

    looks: Looks
    header: HeaderView
    answer: AnswerView
    scores: ScoresView | None
    findings: FindingsView
    next_study: NextStudyView
    procedures: ProceduresView | None
    plots: PlotsView
    sample: SampleView | None
    classes: ClassesView | None
    input_pipeline: InputPipelineView | None
    search_space: SearchSpaceView
    reproduction: ReproductionView
    deleted_checkpoints: str | None
    data: Mapping[str, Json]
