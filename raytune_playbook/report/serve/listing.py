"""How the rounds of a storage stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from raytune_playbook.analysis.wording import ABSENT, number_text
from raytune_playbook.records.scores import TEST
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundState
from raytune_playbook.report.reading import RoundReading, read_round


@dataclass(frozen=True)
class RoundRow:
    """One round in the list.

    Fields:
        name, goal, state: of the round.
        part_of: the procedure that ran it, in words; None for a round of its own.
        num_ended, num_planned: trials.
        best: the best objective, in words.
        created_at_s: seconds since the epoch; None where that is not known.
        broken: what is wrong with its records; None where nothing is.
    """

    name: str
    goal: str = ""
    state: str = "unreadable"
    num_ended: int = 0
    num_planned: int = 0
    best: str = ABSENT
    created_at_s: float | None = None
    broken: str | None = None
    part_of: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing more is to come of itself."""
        return self.state != RoundState.RUNNING


def round_row(store: RoundStore) -> RoundRow:
    """A round as its records tell it.

    Raises:
        InputError: they are broken.
    """
    reading = read_round(store)
    total, best = reading.summary.total, reading.summary.best
    objective = best.best.objective if best is not None and best.best is not None else None
    return RoundRow(
        name=store.name,
        goal=reading.record.goal,
        state=str(reading.status.state) if reading.status else "not started",
        num_ended=total.num_ended,
        num_planned=total.planned,
        best=ABSENT if objective is None else f"{number_text(objective)} {_judged_by(reading)}",
        created_at_s=_seconds(reading.record.created_at),
        part_of=reading.record.part_of.text if reading.record.part_of else None,
    )


def _judged_by(reading: RoundReading) -> str:
    looks = sum(score.split == TEST for score in reading.scores)
    return reading.objective.name + (", test set seen" if looks else "")


def _seconds(created_at: str) -> float | None:
    try:
        at = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def age_text(seconds: float | None) -> str:
    """How long ago something was, in its largest unit: ``3 h``."""
    if seconds is None:
        return ABSENT
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{int(seconds // length_s):,} {unit}"
    return "now"
