"""What a round has come to."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from raytune_playbook.analysis.answer.answer import Answer
from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.analysis.judging.best import best_trial
from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.insight import Insight, insight_of
from raytune_playbook.report.page.page import write_page
from raytune_playbook.report.reading import read_all


@dataclass(frozen=True)
class Result:
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

    def report(self) -> str:
        """Write the round's page and say where it is."""
        return write_page(self.store)
