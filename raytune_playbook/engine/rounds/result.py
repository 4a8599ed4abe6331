"""What a round has come to."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from raytune_playbook.analysis.best import best_trial
from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.page.page import write_page


@dataclass(frozen=True)
class Result:
    """A round as its records tell it; nothing is kept beside them.

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
        """The best completed trial by the round's objective, or None."""
        return best_trial(trials_of(self.trials), self.store.round().objective)

    def report(self) -> str:
        """Write the round's page and say where it is."""
        return write_page(self.store)
