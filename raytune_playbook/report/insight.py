"""What a round has taught: its reading, looked at with the playbook's checklist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raytune_playbook.analysis.answer.answer import Answer, answer_of
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings import all_findings
from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.analysis.findings.measured import with_measured_remedy
from raytune_playbook.analysis.next_study.next_study import NextStudy, next_study_of
from raytune_playbook.analysis.series.curves import TrialCurves
from raytune_playbook.analysis.trials import TrialId
from raytune_playbook.records.types import RoundState
from raytune_playbook.report.formatting import objective_text
from raytune_playbook.report.reading import RoundReading


@dataclass(frozen=True)
class Insight:
    """A round's reading, and what follows from it.

    Fields:
        evidence: all that is known of it, curves included.
        findings: what every question of the checklist came to, in the checklist's order.
        answer: to the round's question.
        next_study: what the open findings ask for.
    """

    reading: RoundReading
    evidence: Evidence
    findings: tuple[Finding, ...]
    answer: Answer
    next_study: NextStudy

    @property
    def judged_by(self) -> str:
        """The objective, in words; of another tool's trials without curves only that it was measured."""
        has_curves = self.reading.origin is None or bool(self.evidence.curves)
        return objective_text(self.evidence.objective, has_curves=has_curves)


def insight_of(reading: RoundReading, curves: Mapping[TrialId, TrialCurves]) -> Insight:
    """Go through the checklist, answer, and put the next study together."""
    record = reading.record
    evidence = Evidence(
        studies=reading.studies,
        objective=reading.objective,
        trials=reading.trials,
        curves=curves,
        roles=record.roles,
        reasons=record.reasons,
        examples=record.examples,
        is_finished=reading.status is not None and reading.status.state is RoundState.FINISHED,
        warnings=tuple(record.warnings),
        earlier=reading.earlier,
    )
    findings = tuple(all_findings(evidence))
    for procedure in reading.procedures:
        if procedure.procedure == "stability" and procedure.round == record.name:
            findings = with_measured_remedy(evidence, findings, procedure.numbers)
    answer = answer_of(evidence, findings, record.caveats)
    return Insight(reading, evidence, findings, answer, next_study_of(evidence, findings))
