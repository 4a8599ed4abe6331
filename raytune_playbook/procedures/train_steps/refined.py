"""What the job's own round says of its number of steps, once it has run: the steps at which its trials were best.

Rule IN14; the playbook's "Deciding how long to train when training is not compute-bound": "From these trials, plot the
training step that retrospective checkpoint selection finds in order to refine the choice of max_train_steps".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.findings.changes import TrainSteps
from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.analysis.plots.best_steps import best_steps
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.records.procedures import ProcedureRecord, ShownPlot, ShownSeries
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundState
from raytune_playbook.report.insight import insight_of
from raytune_playbook.report.reading import read_all

RULE = "IN14"

NUM_BARS = 20

_BEGINNING = "The round has run, for "
_TITLE = "Where in training the round's trials were best"


@dataclass(frozen=True)
class Refinement:
    """What a round that was run says.

    Fields:
        max_train_steps: that it had.
        num_trials: that it has seen.
        finding: of rule IN14.
        shares: of training, at which each trial was best.
    """

    max_train_steps: int
    num_trials: int
    finding: Finding
    shares: tuple[float, ...]

    @property
    def proposed(self) -> int | None:
        """How many steps it proposes; None where it proposes no other number."""
        changes = self.finding.proposal.changes if self.finding.proposal is not None else ()
        return next((change.max_train_steps for change in changes if isinstance(change, TrainSteps)), None)

    @property
    def sentences(self) -> tuple[str, ...]:
        found = f"{_BEGINNING}{count_text(self.max_train_steps)} steps. {self.finding.sentence}"
        return (found, self.finding.proposal.sentence) if self.finding.proposal is not None else (found,)

    @property
    def numbers(self) -> dict[str, int | None]:
        return {"refined_max_train_steps": self.proposed, "refined_from_steps": self.max_train_steps} | {
            "refined_from_trials": self.num_trials
        }

    def plot(self) -> ShownPlot | None:
        """How many trials were best at which part of training."""
        if not self.shares:
            return None
        counts, edges = np.histogram(self.shares, bins=NUM_BARS, range=(0, 1))
        return ShownPlot(
            title=_TITLE,
            label=f"A histogram of the best step of {len(self.shares)} trials as a share of their training.",
            x_name="best step, as a share of training",
            y_name="trials",
            series=(
                ShownSeries(
                    name="trials",
                    x=tuple(((edges[:-1] + edges[1:]) / 2).tolist()),
                    y=tuple(float(count) for count in counts),
                    style="bars",
                ),
            ),
        )


def without_refinement(record: ProcedureRecord) -> ProcedureRecord:
    """A record as it was before a round was run, which may have been another one."""
    own = next((place for place, each in enumerate(record.sentences) if each.startswith(_BEGINNING)), None)
    plots = tuple(plot for plot in record.plots if plot.title != _TITLE)
    return record.model_copy(update={"sentences": record.sentences[:own], "plots": plots})


def refinement_of(store: RoundStore) -> Refinement | None:
    """What a round that has finished says; None where it has not, or has not been run.

    Raises:
        StorageError: its records cannot be read.
    """
    status = store.status() if store.exists() else None
    if status is None or status.state is not RoundState.FINISHED:
        return None
    insight = insight_of(*read_all(store))
    finding = next(each for each in insight.findings if each.rule == RULE)
    shares = tuple(share for each in best_steps(insight.evidence) for share in each.shares)
    return Refinement(store.round().budget.max_train_steps, len(insight.evidence.trials), finding, shares)
