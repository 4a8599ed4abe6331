"""The answer to a round's question, and how sure it is (rules IN18, SD3, SD8, SD13 and AD2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from raytune_playbook.analysis.answer.answer_text import (
    best_text,
    better_means,
    better_text,
    no_difference_text,
    reasons_of,
    target_text,
    too_few_text,
)
from raytune_playbook.analysis.answer.arm_comparison import Comparison, compare
from raytune_playbook.analysis.answer.study_variance import SURE
from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.sampled.sensitivity import sensitivity, sensitivity_text

NUM_TO_BE_SURE = math.ceil(-math.log2(1 - SURE))
"""With fewer completed trials a value's lead may be luck whatever they came to."""


class Verdict(StrEnum):
    """What a round could show."""

    BETTER = "better"
    """One value is better than all others."""
    NO_DIFFERENCE = "no difference shown"
    """The best values are not told apart by as much as the round could have shown."""
    CANNOT_TELL = "cannot tell yet"
    """A finding must be closed first, or trials are missing."""
    NOTHING_TO_COMPARE = "nothing to compare"
    """A single study: its best trial is what there is. Or trials that end at a target, which are all as good as it."""


@dataclass(frozen=True)
class ArmAnswer:
    """One scientific value in the answer.

    Fields:
        arm: it, with its trials.
        behind: by how much its best trial is worse than the round's best; None without one.
        probability_best: in what share of draws of half its points it has the round's best trial, see
            `raytune_playbook.analysis.answer.study_variance`; None where nothing is compared.
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
        reasons: sentences on what it rests on: the difference, the resolution, the variance, what better means.
        arms: of each scientific value.
        probability: that the best value is better than the next, where the verdict is `Verdict.BETTER`.
        difference: between the best value and the next.
        detectable: how large a difference this round could have shown, where it showed none; None where not known.
        resolution: the smallest step of the metric, such as one validation example; None where that is not known.
        open_findings: those that withhold or qualify it, the most serious first.
        caveats: the fixed hyperparameters to whose values it is bound.
        beyond: what is told beyond what the playbook asks for, marked as such: it changes nothing of the verdict.
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
    beyond: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Its sentence and what that rests on, a line each."""
        return "\n".join((self.sentence, *self.reasons, *self.beyond))


def answer_of(evidence: Evidence, findings: Sequence[Finding], caveats: Sequence[str]) -> Answer:
    """The round's answer as its findings allow it (rule IN18)."""
    found = compare(evidence)
    still_open = sorted((finding for finding in findings if finding.is_open), key=_seriousness)
    verdict = _verdict(evidence, found, still_open)
    meaning = better_means(evidence, found) if verdict is Verdict.BETTER else ()
    arms = tuple(
        ArmAnswer(
            arm=arm,
            behind=evidence.behind(arm.best) if arm.best else None,
            probability_best=chance if len(evidence.arms) > 1 and found.leader is not None else None,
            interval=interval,
            is_leading=is_leading,
        )
        for arm, chance, interval, is_leading in zip(
            evidence.arms, found.chances, found.intervals, found.leading, strict=True
        )
    )
    return Answer(
        verdict=verdict,
        sentence=_sentence(evidence, found, verdict, still_open),
        reasons=(
            *_reasons(evidence, found),
            *meaning,
            *_qualified(verdict, still_open),
        ),
        arms=arms,
        probability=found.probability if verdict is Verdict.BETTER else None,
        difference=found.difference,
        detectable=found.detectable if found.difference is not None else None,
        resolution=1 / found.num_scored if found.num_scored else None,
        open_findings=tuple(still_open),
        caveats=tuple(caveats),
        beyond=tuple(_beyond(evidence, found)),
    )


def _beyond(evidence: Evidence, found: Comparison) -> Iterator[str]:
    """How sensitive the round's best trial is to its learning rate; of trials that end at a target nothing is."""
    if found.leader is None or evidence.target is not None:
        return
    if (known := sensitivity(evidence, evidence.arms[found.leader])) is not None:
        yield sensitivity_text(evidence, known)


def _reasons(evidence: Evidence, found: Comparison) -> Iterable[str]:
    return reasons_of(evidence, found) if evidence.target is None else ()


def _seriousness(finding: Finding) -> int:
    return 0 if finding.withholds else 1 if finding.status is Status.PROBLEM else 2


def _verdict(evidence: Evidence, found: Comparison, still_open: Sequence[Finding]) -> Verdict:
    if found.leader is None:
        return Verdict.CANNOT_TELL
    if len(evidence.arms) == 1 or evidence.target is not None:
        return Verdict.NOTHING_TO_COMPARE
    if _withholding(still_open):
        return Verdict.CANNOT_TELL
    if found.is_sure:
        return Verdict.BETTER
    return Verdict.CANNOT_TELL if _num_missing(evidence, found.leader) else Verdict.NO_DIFFERENCE


def _withholding(still_open: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in still_open if finding.status is Status.PROBLEM and finding.withholds]


def _num_missing(evidence: Evidence, leader: int) -> int:
    """How many more trials of an arm have to be completed before it can lead for sure."""
    return max(0, NUM_TO_BE_SURE - len(evidence.arms[leader].ranked))


def _sentence(evidence: Evidence, found: Comparison, verdict: Verdict, still_open: Sequence[Finding]) -> str:
    text = _final_sentence(evidence, found, verdict, still_open)
    if evidence.is_finished:
        return text
    # The name of a value, which a better one's sentence begins with, stays as it is written.
    return f"So far: {text if verdict is Verdict.BETTER else text[0].lower() + text[1:]}"


def _final_sentence(evidence: Evidence, found: Comparison, verdict: Verdict, still_open: Sequence[Finding]) -> str:
    if found.leader is None:
        return "No trial was completed, so there is no answer."
    match verdict:
        case Verdict.NOTHING_TO_COMPARE:
            return best_text(evidence, found) if evidence.target is None else target_text(evidence, evidence.target)
        case Verdict.BETTER:
            return better_text(evidence, found)
        case Verdict.NO_DIFFERENCE:
            return no_difference_text(evidence, found)
    if withholding := _withholding(still_open):
        return f"Cannot tell yet. First: {withholding[0].sentence}{_further(len(withholding) - 1)}"
    return too_few_text(evidence, found, NUM_TO_BE_SURE)


def _further(number: int) -> str:
    if number == 0:
        return ""
    return f" {'One more problem has' if number == 1 else f'{number} more problems have'} to be closed, too."


def _qualified(verdict: Verdict, still_open: Sequence[Finding]) -> tuple[str, ...]:
    """That what is open may still change the answer; what withholds it stands in the sentence."""
    problems = [finding for finding in still_open if finding.status is Status.PROBLEM and not finding.withholds]
    if not problems or verdict is Verdict.CANNOT_TELL:
        return ()
    if len(problems) == 1:
        return ("One open problem may still change this.",)
    return (f"{len(problems)} open problems may still change this.",)
