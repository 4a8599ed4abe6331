"""A finding: what one question of the playbook's checklist came to, with its evidence (rule IN16).

See the playbook's "Extracting insight from experimental results": before a round answers its question, a checklist of
further ones is gone through, and what turns up is mended or qualifies the answer (rule IN18).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Change
from raytune_playbook.analysis.trials import TrialId


class Status(StrEnum):
    """What a question of the checklist came to."""

    PROBLEM = "problem"
    """Mend it before the answer is believed: it withholds the conclusion, or qualifies it."""
    LOOK = "look"
    """Look at it: it may mislead, or something is to be gained."""
    CANNOT_TELL = "cannot tell"
    """The records do not hold what the question needs, or too little of it."""
    PASSES = "passes"


@dataclass(frozen=True)
class Proposal:
    """What the next study should do otherwise.

    Fields:
        sentence: what to do, in words: ``Search learning_rate from 0.003 to 3.``
        changes: the same, to be applied to the round; empty where a person has to do it.
    """

    sentence: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a question came to.

    Fields:
        rule: its ID, such as ``IN1``.
        question: the question itself, the same in all findings of a detector: "Is the search space large enough?"
        status: what it came to.
        sentence: what was found, understandable by itself, without the rule's ID.
        numbers: what the sentence says, by name with the unit in it, such as ``share_at_boundary``.
        trials: the trials that it points to, the most telling first; empty where it is about all of them.
        studies: the studies whose comparison it concerns; empty where it is about the whole round.
        withholds: whether the round's question cannot be answered before this is mended (of a problem only).
        proposal: what the next study should do; None where nothing is to be done.
    """

    rule: str
    question: str
    status: Status
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    trials: tuple[TrialId, ...] = ()
    studies: tuple[str, ...] = ()
    withholds: bool = False
    proposal: Proposal | None = None

    def __str__(self) -> str:
        """What it came to, in a line: ``IN1, passes: The best points lie inside.``"""
        return f"{self.rule}, {self.status}: {self.sentence}"

    @property
    def is_open(self) -> bool:
        """Whether it is to be mended or looked at."""
        return self.status in (Status.PROBLEM, Status.LOOK)


def by_stability(evidence: Evidence) -> str:
    """Which command looks into an instability, in brackets; none for what another tool has trained."""
    return " (raytune-playbook stability ROUND)" if evidence.is_planned_here else ""


Detector: TypeAlias = Callable[[Evidence], Sequence[Finding]]
"""Answers one question. It returns at least one finding, of which all have the detector's question; where nothing is
wrong a single one that passes; where the records do not tell, one that says so. It never raises, whatever the records
hold: no trials, one trial, a constant metric, NaN and infinity."""
