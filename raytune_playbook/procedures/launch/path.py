"""From the incumbent to the candidate, a change at a time: which changes earn their place (rule AD5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from raytune_playbook.procedures.launch.comparison import SURE, Comparison, compare
from raytune_playbook.procedures.launch.configuration import Change, Configuration, changes, path, round_of
from raytune_playbook.procedures.launch.examples import sampling_error
from raytune_playbook.procedures.procedure import Procedure
from raytune_playbook.procedures.variance.points import retrained, trained_alone
from raytune_playbook.procedures.variance.retrainings import Point, Retrainings
from raytune_playbook.records.registry import ChangeRecord
from raytune_playbook.records.store import RoundStore


@dataclass(frozen=True)
class Step:
    """One change of the path.

    Fields:
        retrainings: with it and all changes before it.
        comparison: of that with what was before; None where it was not measured.
    """

    change: Change
    retrainings: Retrainings | None
    comparison: Comparison | None

    @property
    def has_evidence(self) -> bool:
        """Whether what it brings is no chance."""
        return self.comparison is not None and self.comparison.gain > 0 and self.comparison.probability >= SURE

    @property
    def record(self) -> ChangeRecord:
        """As the registry has it."""
        found = self.comparison
        return ChangeRecord(
            names=self.change.names,
            was=dict(zip(self.change.names, self.change.was, strict=True)),
            now=dict(zip(self.change.names, self.change.now, strict=True)),
            gain=None if found is None else _finite(found.gain),
            probability=None if found is None else found.probability,
            has_evidence=self.has_evidence,
        )


@dataclass(frozen=True)
class End:
    """One end of the path: a point, and what retraining it came to."""

    point: Point
    retrainings: Retrainings


def unmeasured(
    p: Procedure, configurations: tuple[Configuration, Configuration], ends: tuple[End, End]
) -> tuple[Step, ...]:
    """The changes where what is between the ends was not trained; of a single one there is nothing between them.

    Args:
        configurations: of the baseline and the candidate.
        ends: the same, as they were trained again.
    """
    found = changes(*configurations)
    if len(found) != 1:
        return tuple(Step(change, None, None) for change in found)
    return (Step(found[0], ends[1].retrainings, _compared(ends[0], ends[1], p.store)),)


def walk(
    p: Procedure, configurations: tuple[Configuration, Configuration], ends: tuple[End, End], num_retrains: int
) -> tuple[Step, ...]:
    """Train what is between the ends, and compare each with what is before it.

    Args:
        configurations, ends: as for `unmeasured`.
        num_retrains: of each configuration between them.
    """
    found, candidate = changes(*configurations), ends[1].point
    between = path(*configurations)[1:-1]
    if not between:
        return unmeasured(p, configurations, ends)
    p.say(f"The path from the baseline to the candidate: {num_retrains} trainings of {len(between)} in between.")
    walked = [ends[0]]
    for number, (change, configuration) in enumerate(zip(found, between, strict=False), 1):
        goal = f"On the path to {candidate.text}: {change.text}"
        point = trained_alone(p, f"path-{number}", round_of(candidate.round, configuration, goal))
        walked.append(End(point, retrained(p, point, num_retrains)))
    walked.append(ends[1])
    return tuple(
        Step(change, after.retrainings, _compared(before, after, p.store))
        for change, (before, after) in zip(found, pairwise(walked), strict=True)
    )


def _compared(before: End, after: End, store: RoundStore) -> Comparison | None:
    pair = before.retrainings, after.retrainings
    noise = sampling_error(store, (before.point, after.point), pair)
    return compare(pair[1].losses, pair[0].losses, sampling_error=None if noise is None else noise.value)


def without_evidence(steps: Sequence[Step]) -> list[Step]:
    """The changes that are flagged: measured, and not surely better."""
    return [step for step in steps if step.comparison is not None and not step.has_evidence]


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
