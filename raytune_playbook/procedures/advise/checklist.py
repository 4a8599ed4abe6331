"""The playbook as a checklist of stages: what advice consists of, and how it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

NEWCOMER = "Choose a batch size"
"""The first line for whom no record tells anything yet: what the playbook decides first."""

LAUNCHED = "Launched"
"""How the last line begins, when all is done."""


class Standing(StrEnum):
    """How a stage stands."""

    DONE = "done"
    STALE = "stale"
    """Done, but something that it was bound to has changed since."""
    NEXT = "next"
    NOT_NEEDED = "not needed"
    LATER = "later"

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be done."""
        return self in (Standing.DONE, Standing.NOT_NEEDED)


@dataclass(frozen=True)
class Stage:
    """One stage of the playbook.

    Fields:
        name: of its procedure; ``rounds`` for exploration.
        title: what to do, in a few words.
        sentence: the evidence, or why it is not needed, or what is to be done.
        command: does it; None where nothing is to be run.
    """

    name: str
    title: str
    standing: Standing
    sentence: str
    command: str | None = None


@dataclass(frozen=True)
class ProjectAdvice:
    """Where one workload's project stands.

    Fields:
        workload: its name; None for a newcomer, who has none.
        stages: in the playbook's order.
        next: what to do now; None where all is done.
        launched: what was launched, and when, in words; None before.
    """

    workload: str | None
    stages: tuple[Stage, ...]
    next: Stage | None
    launched: str | None = None

    @property
    def headline(self) -> str:
        """What to do now, in a line."""
        if self.workload is None:
            return NEWCOMER
        if self.next is None:
            return f"{self.workload}: {LAUNCHED.lower()}"
        return f"{self.workload}: {self.next.title[0].lower()}{self.next.title[1:]}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The headline, every stage with its command below it, and that it was launched where that is all."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.headline
        width = max(len(standing) for standing in Standing)
        for stage in self.stages:
            yield f"  {stage.standing:<{width}}  {stage.title}: {stage.sentence}"
            if stage.command is not None:
                yield f"  {'':<{width}}    {stage.command}"
        if self.next is None and self.launched is not None:
            yield f"{LAUNCHED}: {self.launched}"


@dataclass(frozen=True)
class Advice:
    """What to do next, for each workload in a storage.

    Fields:
        projects: the one that was worked on last stands last; a newcomer has one without a workload.
        broken: a sentence for each record that could not be read, and without which the rest was.
    """

    projects: tuple[ProjectAdvice, ...]
    broken: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n\n".join("\n".join(project.lines) for project in self.projects)
