"""The page's head: the round's name, goal and state, and how its trials ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from raytune_playbook.report.formatting import counts_text
from raytune_playbook.report.reading import RoundReading


@dataclass(frozen=True)
class PartView:
    """That a procedure ran the round.

    Fields:
        text: which, in words.
        href: where the page is that says what it came to; None where there is none.
        command: runs the procedure.
    """

    text: str
    href: str | None
    command: str


@dataclass(frozen=True)
class HeaderView:
    """The page's head.

    Fields:
        name, goal: the round's.
        state: as its status says, ``not started`` without one, or ``unknown`` where that cannot be read.
        facts: short ones, shown in one line.
        reason: why it ended, where its status says so.
        broken: a sentence for each file of the records that could not be read.
        inferred: a sentence for whatever nobody has said of a round of another tool.
        part: of which procedure it is part; None for a round of its own.
    """

    name: str
    goal: str
    state: str
    facts: tuple[str, ...]
    reason: str | None
    broken: tuple[str, ...]
    inferred: tuple[str, ...]
    part: PartView | None = None


def header_view(reading: RoundReading, whole: str | None = None) -> HeaderView:
    """The head of a round's page.

    Args:
        reading: of the round.
        whole: where the page is that says what a procedure came to, whose round it is.
    """
    record, status, total = reading.record, reading.status, reading.summary.total
    facts = [f"{total.num_ended:,} of {total.planned:,} trials ended", counts_text(total)]
    if reading.origin is not None:
        facts.append(reading.origin)
    if status and status.state != "finished":
        seen = datetime.fromtimestamp(status.seen_at_s, UTC)
        facts.append(f"as of {seen:%Y-%m-%d %H:%M} UTC")
    return HeaderView(
        name=record.name,
        goal=record.goal,
        state=status.state if status else "unknown" if reading.broken else "not started",
        facts=tuple(facts),
        reason=status.reason if status else None,
        broken=reading.broken,
        inferred=reading.inferred,
        part=PartView(record.part_of.text, whole, record.part_of.command) if record.part_of else None,
    )
