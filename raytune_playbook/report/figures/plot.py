"""A plot and a section of plots, as the page lays them out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from raytune_playbook.report.figures.figure import Figure


@dataclass(frozen=True)
class Plot:
    """A figure and what is said of it.

    Fields:
        name: of its place on the page, and of the file that holds it.
        title: above it; empty where its axes say what it shows.
        label: what it shows in a sentence, for who does not see it.
        figure: the drawing.
        of: the hyperparameter, metric or study that it shows, which sets it apart from others of its kind.
        follows: whether the page can judge it by another objective.
        is_wide: whether it takes the page's whole width.
    """

    name: str
    title: str
    label: str
    figure: Figure
    of: str = ""
    follows: bool = False
    is_wide: bool = False

    @property
    def kind(self) -> str:
        """Its name without its place among those of its kind: ``axis`` of ``axis-2``."""
        return re.sub(r"-\d+$", "", self.name)


@dataclass(frozen=True)
class PlotSection:
    """Plots of one kind, under a heading, with a note on how to read them."""

    anchor: str
    title: str
    note: str
    plots: tuple[Plot, ...]
