"""What other tools' trials teach: the same findings, answer and page as of a round of our own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from raytune_playbook.analysis.answer.answer import Answer
from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.analysis.series.curves import TrialCurves
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.errors import StorageError
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.storage import refuse_other_file
from raytune_playbook.records.types import TrialRecord
from raytune_playbook.report.foreign.arrangement import arranged
from raytune_playbook.report.foreign.plan import plan_of
from raytune_playbook.report.foreign.recorded import Recorded
from raytune_playbook.report.foreign.roles import Roles
from raytune_playbook.report.insight import Insight, insight_of
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.study.trial import TrialSpec


@dataclass(frozen=True)
class ForeignRound:
    """A round of trials that another tool has run.

    Fields:
        reading: the round.
        curves: of the trials of which they were recorded.
    """

    reading: RoundReading
    curves: Mapping[TrialId, TrialCurves]

    @cached_property
    def insight(self) -> Insight:
        """What the round has taught."""
        return insight_of(self.reading, self.curves)

    @property
    def answer(self) -> Answer:
        """To the round's question, and how sure it is."""
        return self.insight.answer

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What every question of the playbook's checklist came to."""
        return self.insight.findings

    @property
    def inferred(self) -> tuple[str, ...]:
        """A sentence for whatever nobody has said of the trials."""
        return self.reading.inferred

    @property
    def best(self) -> Trial | None:
        """The best completed trial, or None."""
        best = self.reading.summary.best
        return None if best is None else best.best

    def report(self, path: str | Path) -> Path:
        """Write the page and say where it is.

        Args:
            path: of an HTML file; a page that is there is replaced, no other file.

        Raises:
            StorageError: it cannot be written, or another file is there.
        """
        from raytune_playbook.report.page.extras import Extras
        from raytune_playbook.report.page.page import render_page

        refuse_other_file(str(path), _is_page, "pages")
        html = render_page(self.insight, Extras())
        try:
            Path(path).write_text(html, encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"The page must be written to a file, but {str(path)!r} is none ({error.strerror}); give another path."
            ) from None
        return Path(path)

    @property
    def trials(self) -> pa.Table:
        """All trials, one row each; see `raytune_playbook.records.columns`."""
        return trials_table([_record(trial, self.reading) for trial in self.reading.trials])


def _is_page(content: bytes) -> bool:
    return content.startswith(b"<!DOCTYPE html>") and b'<div id="round">' in content


def foreign_round(recorded: Recorded, roles: Roles, command: str = "") -> ForeignRound:
    """The round of some trials.

    Args:
        recorded: the trials.
        roles: what was said of them.
        command: makes the page again; empty where Python did.

    Raises:
        SpecError: what was said does not fit the trials, or none of them has ended.
    """
    return ForeignRound(*arranged(plan_of(recorded, roles), command))


def _record(trial: Trial, reading: RoundReading) -> TrialRecord:
    budget = reading.record.budget
    spec = TrialSpec(
        study=trial.study,
        index=trial.index,
        repeat=trial.repeat,
        seed=0,
        values=dict(trial.values),
        max_train_steps=budget.max_train_steps,
        evaluation_interval_steps=budget.evaluation_interval_steps,
        divergence_factor=budget.divergence_factor,
        objective=reading.objective,
    )
    return TrialRecord(
        spec=spec,
        outcome=trial.outcome,
        reason=trial.reason,
        objective=trial.objective,
        best_step=trial.best_step,
        training=trial.training,
        attempts=trial.attempts,
        machine=trial.machine,
    )
