"""The checklist: what every question of the playbook came to, problems first (rules IN16 and IN18)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page.views.parts import TrialLink, trial_link
from raytune_playbook.report.rules import Section, section_of

MAX_TRIALS_LINKED = 8
"""Of a finding, at first; the others are folded."""

SIGNS = {Status.PROBLEM: "✖", Status.LOOK: "!", Status.CANNOT_TELL: "?", Status.PASSES: "✓"}
"""A status is told by its sign and its word, not by its colour alone."""


@dataclass(frozen=True)
class FindingLink:
    """Leads to a finding on the page."""

    anchor: str
    question: str
    status: str


@dataclass(frozen=True)
class FindingView:
    """One finding.

    Fields:
        anchor: names its place on the page.
        status, sign: what it came to.
        section: of the playbook, to read; None for a rule that has none.
        trials, more_trials: that it points to; those of the second are folded.
        proposal: what to do, in words; empty where nothing is to be done.
        withholds: whether the answer waits for it.
    """

    anchor: str
    rule: str
    question: str
    status: str
    sign: str
    sentence: str
    section: Section | None
    trials: tuple[TrialLink, ...]
    more_trials: tuple[TrialLink, ...]
    proposal: str
    withholds: bool


@dataclass(frozen=True)
class FindingsView:
    """The checklist.

    Fields:
        summary: how many came to what, in words.
        open: to be mended or looked at, problems first.
        cannot_tell, passing: the others.
    """

    summary: str
    open: tuple[FindingView, ...]
    cannot_tell: tuple[FindingView, ...]
    passing: tuple[FindingView, ...]


def findings_view(insight: Insight) -> FindingsView:
    """What the checklist came to."""
    trials = {trial.id: trial for trial in insight.evidence.trials}
    anchors = finding_anchors(insight.findings)
    seen = [_view(each, anchor, trials) for each, anchor in zip(insight.findings, anchors, strict=True)]
    by_status = {status: tuple(view for view in seen if view.status == status) for status in Status}
    return FindingsView(
        summary=_summary(by_status),
        open=by_status[Status.PROBLEM] + by_status[Status.LOOK],
        cannot_tell=by_status[Status.CANNOT_TELL],
        passing=by_status[Status.PASSES],
    )


def finding_anchors(findings: Sequence[Finding]) -> list[str]:
    """Names of the findings' places on the page."""
    return [f"finding-{number}-{finding.rule}" for number, finding in enumerate(findings, 1)]


def finding_links(findings: Sequence[Finding], wanted: Iterable[Finding]) -> tuple[FindingLink, ...]:
    """Links to some of a round's findings; one that is not among them has none."""
    anchors = finding_anchors(findings)
    return tuple(
        FindingLink(anchors[findings.index(finding)], finding.question, str(finding.status))
        for finding in wanted
        if finding in findings
    )


def _view(finding: Finding, anchor: str, trials: Mapping[TrialId, Trial]) -> FindingView:
    links = tuple(trial_link(trials[name]) for name in finding.trials if name in trials)
    return FindingView(
        anchor=anchor,
        rule=finding.rule,
        question=finding.question,
        status=str(finding.status),
        sign=SIGNS[finding.status],
        sentence=finding.sentence,
        section=section_of(finding.rule),
        trials=links[:MAX_TRIALS_LINKED],
        more_trials=links[MAX_TRIALS_LINKED:],
        proposal=finding.proposal.sentence if finding.proposal else "",
        withholds=finding.withholds and finding.is_open,
    )


def _summary(by_status: Mapping[Status, Sequence[FindingView]]) -> str:
    if not any(by_status.values()):
        return "Nothing was looked at yet."
    words = {
        Status.PROBLEM: ("problem", "problems"),
        Status.LOOK: ("to look at", "to look at"),
        Status.CANNOT_TELL: ("that cannot be told", "that cannot be told"),
        Status.PASSES: ("passes", "pass"),
    }
    parts = [f"{len(found)} {words[status][len(found) > 1]}" for status, found in by_status.items() if found]
    return f"{sum(map(len, by_status.values()))} questions of the playbook: {', '.join(parts)}."
