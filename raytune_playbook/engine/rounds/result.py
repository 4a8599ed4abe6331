"""What a round has come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from raytune_playbook.analysis.answer.answer import Answer
from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.analysis.judging.best import best_trial
from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.analysis.wording import number_text
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.insight import Insight, insight_of
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.reading import read_all
from raytune_playbook.report.standing_alone import plotly_figure
from raytune_playbook.report.terminal import summary
from raytune_playbook.study.shown import Shown

if TYPE_CHECKING:
    import plotly.graph_objects
    from rich.console import RenderableType


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """A round as its records tell it; nothing is kept beside them.

    What to run next `raytune_playbook.propose(round, result)` returns: the round with what the findings ask for.

    Fields:
        store: the round's records.
    """

    store: RoundStore

    @property
    def trials(self) -> pa.Table:
        """All trials, one row each; see `raytune_playbook.records.columns`."""
        return self.store.trials()

    @property
    def best(self) -> Trial | None:
        """The best completed trial by the round's objective, or None; whether its values are better, `answer` says."""
        return best_trial(trials_of(self.trials), self.store.round().objective)

    @property
    def answer(self) -> Answer:
        """What the round says to its question, and how sure it is: `raytune_playbook.analysis.answer.answer.Answer`."""
        return self._insight.answer

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What each question of the playbook's checklist came to, in its order."""
        return self._insight.findings

    @property
    def _insight(self) -> Insight:
        return insight_of(*read_all(self.store))

    def plot(self, kind: str, of: str | None = None) -> plotly.graph_objects.Figure:
        """A plot of the round's page as a figure of plotly's, which a notebook shows inline.

        Args:
            kind: ``"isolation"``, ``"axis"``, ``"curves"``, ``"best-so-far"``, ``"best-of-n"``, ``"best-steps"``,
                ``"gradient-norms"``, ``"parallel"``, ``"importance"``, and ``"steps-..."`` for what was measured at
                every step; a wrong one is answered with those that the round has.
            of: the hyperparameter, metric or study that it shows, where there are several of the kind.

        Raises:
            InputError: there is no such plot, or several.
        """
        return plotly_figure(self._insight, kind, of)

    def __repr__(self) -> str:
        best = self.best if self.store.exists() else None
        found = "" if best is None else f": best {best.text} with {number_text(best.objective)}"
        return f"<Result of {self.store.name!r} in {self.store.storage.uri!r}{found}>"

    def __rich__(self) -> RenderableType:
        return summary(self.store)

    def report(self) -> str:
        """Write the round's page and say where it is."""
        return write_page(self.store)
