"""The answer to a round's question, and how sure it is (rules IN18, SD3, SD8, SD13 and AD2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.finding import Finding


class Verdict(StrEnum):
    """What a round could show."""

    BETTER = "better"
    """One value is better than all others."""
    NO_DIFFERENCE = "no difference shown"
    """The best values are not told apart by as much as the round could have shown."""
    CANNOT_TELL = "cannot tell yet"
    """A finding must be closed first, or trials are missing."""
    NOTHING_TO_COMPARE = "nothing to compare"
    """A single study: its best trial is what there is."""


@dataclass(frozen=True)
class ArmAnswer:
    """One scientific value in the answer.

    Fields:
        arm: it, with its trials.
        behind: by how much its best trial is worse than the round's best; None without one.
        probability_best: that it is the best of all when the search is run again; None where that is not told.
        interval: where the best of as many trials of another search would lie, in 8 of 10 cases; None likewise.
        is_leading: whether it is the best, or cannot be told from the best.
    """

    arm: Arm
    behind: float | None
    probability_best: float | None
    interval: tuple[float, float] | None
    is_leading: bool


@dataclass(frozen=True)
class Answer:
    """What the round says to its question.

    Fields:
        verdict: in one of four words.
        sentence: the verdict for the terminal and the head of the page, with numbers.
        reasons: sentences on what it rests on: the difference, the resolution, the variance, the imbalances.
        arms: of each scientific value.
        probability: that the best value is better than the next, where the verdict is `Verdict.BETTER`.
        difference: between the best value and the next.
        detectable: how large a difference this round could have shown; None where that is not known.
        resolution: the smallest step of the metric, such as one validation example; None where that is not known.
        open_findings: those that withhold or qualify it, the most serious first.
        caveats: the fixed hyperparameters to whose values it is bound.
    """

    verdict: Verdict
    sentence: str
    reasons: tuple[str, ...]
    arms: tuple[ArmAnswer, ...]
    probability: float | None
    difference: float | None
    detectable: float | None
    resolution: float | None
    open_findings: tuple[Finding, ...]
    caveats: tuple[str, ...]


def answer_of(evidence: Evidence, findings: Sequence[Finding], caveats: Sequence[str]) -> Answer:
    """The round's answer as its findings allow it."""
    arms = tuple(
        ArmAnswer(arm, evidence.behind(arm.best) if arm.best else None, None, None, False) for arm in evidence.arms
    )
    sentence = "No answer yet."
    return Answer(Verdict.CANNOT_TELL, sentence, (), arms, None, None, None, None, tuple(findings), tuple(caveats))
