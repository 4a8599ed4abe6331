"""The next study: what all open findings of a round propose, put together (rule IN16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Change
from raytune_playbook.analysis.findings.finding import Finding


@dataclass(frozen=True)
class ProposedChange:
    """One change, and the findings that ask for it.

    Fields:
        change: what to change.
        sentence: the same in words: ``Search learning_rate from 0.003 to 3 (it was 0.003 to 0.3).``
        findings: that ask for it, the most serious first.
    """

    change: Change
    sentence: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class NextStudy:
    """What the next study changes.

    Fields:
        changes: that a job file can be given.
        advice: what only a person can do: sentences, each with its finding.
    """

    changes: tuple[ProposedChange, ...]
    advice: tuple[tuple[str, Finding], ...]


def next_study_of(evidence: Evidence, findings: Sequence[Finding]) -> NextStudy:
    """What the open findings propose, put together."""
    return NextStudy((), ())
