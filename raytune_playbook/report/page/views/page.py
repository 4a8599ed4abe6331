"""Everything that a round's page says, section by section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raytune_playbook.report.figures.style import Looks
from raytune_playbook.report.page.views.answer import AnswerView
from raytune_playbook.report.page.views.evaluations import ClassesView, SampleView
from raytune_playbook.report.page.views.header import HeaderView
from raytune_playbook.report.page.views.input_pipeline import InputPipelineView
from raytune_playbook.report.page.views.plots import PlotsView
from raytune_playbook.report.page.views.reproduction import ReproductionView
from raytune_playbook.report.page.views.scores import ScoresView
from raytune_playbook.report.page.views.search_space import SearchSpaceView
from raytune_playbook.report.page.views.trials import HoverView, TrialsView


@dataclass(frozen=True)
class PageView:
    """What the page says; a section is None where a round has nothing to say of it.

    Fields beside the sections: ``looks`` (of the studies), ``warnings`` (the rules of thumb that the round goes
    against), ``hover`` (what plots show of each trial, by its name within the round).
    """

    looks: Looks
    header: HeaderView
    answer: AnswerView
    scores: ScoresView | None
    sample: SampleView | None
    classes: ClassesView | None
    input_pipeline: InputPipelineView | None
    warnings: tuple[str, ...]
    search_space: SearchSpaceView
    plots: PlotsView
    trials: TrialsView
    reproduction: ReproductionView
    hover: Mapping[str, HoverView]
