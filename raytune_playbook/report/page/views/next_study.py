"""What to run next: the changes that the open findings ask for, and the command that writes the job (rule IN16)."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page.views.findings import FindingLink, finding_links


@dataclass(frozen=True)
class ChangeView:
    """One change or piece of advice, and the findings that ask for it."""

    sentence: str
    findings: tuple[FindingLink, ...]


@dataclass(frozen=True)
class NextStudyView:
    """What the next study does otherwise.

    Fields:
        changes: that the command makes.
        advice: what only a person can do.
        command: to copy; None where the round has no job to start from, or nothing is to be changed.
        is_from_python: whether it has none because Python ran it, which can make the next round.
    """

    changes: tuple[ChangeView, ...]
    advice: tuple[ChangeView, ...]
    command: str | None
    is_from_python: bool


def next_study_view(insight: Insight, command: str | None) -> NextStudyView:
    """What to run next.

    Args:
        insight: the round.
        command: that writes the next study's job; None where there is none.
    """
    study, record = insight.next_study, insight.reading.record
    return NextStudyView(
        changes=tuple(
            ChangeView(change.words, finding_links(insight.findings, change.findings)) for change in study.changes
        ),
        advice=tuple(
            ChangeView(sentence, finding_links(insight.findings, [finding])) for sentence, finding in study.advice
        ),
        command=command if study.changes else None,
        is_from_python=record.job is None
        and record.part_of is None
        and bool(record.command)
        and insight.reading.origin is None,
    )
