"""What retraining one point again and again came to, and how many retrainings are worth their price (rule AD1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, stdev

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import duration_text
from raytune_playbook.procedures.launch.configuration import Configuration, configuration_of
from raytune_playbook.records.types import Outcome
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective

NUM_SHORT = 20
"""Retrainings of a configuration whose trainings are short."""

NUM_LEAST = 5
"""Of one whose trainings are long: with fewer nothing can be said."""

PRICE_S = 3600.0
"""What the retrainings of one configuration may take of one gang before there are fewer of them."""


@dataclass(frozen=True)
class Point:
    """A point of a round.

    Fields:
        is_picked: whether a search has picked its first run for being best, which is better than it deserves: it does
            not count among its retrainings.
    """

    round: Round
    study: str
    index: int
    configuration: Configuration
    is_picked: bool

    @property
    def text(self) -> str:
        """As commands take it."""
        return f"{self.study}/{self.index:05d}"


def point_at(round_: Round, study: str, index: int, *, is_picked: bool) -> Point:
    """A point of a round by its study and index."""
    (spec,) = (each for each in round_.studies if each.name == study)
    configuration = configuration_of(round_, suggest(spec, index).values)
    return Point(round_, study, index, configuration, is_picked)


@dataclass(frozen=True)
class Retrainings:
    """Trainings of one configuration that differ in their seeds alone.

    Fields:
        values: the objective of each that was completed.
        num_infeasible: that were not, such as by divergence; each counts as worse than any.
        num_failed: that crashed, which says nothing of the configuration.
        num_outdated: of other code, which do not count.
    """

    objective: Objective
    values: tuple[float, ...]
    num_infeasible: int = 0
    num_failed: int = 0
    num_outdated: int = 0

    @property
    def num(self) -> int:
        """Those that count."""
        return len(self.values) + self.num_infeasible

    @property
    def losses(self) -> list[float]:
        """Of each that counts: small is good, and infinite of an infeasible one."""
        sign = 1.0 if self.objective.goal == "minimize" else -1.0
        return [*(sign * value for value in self.values), *[math.inf] * self.num_infeasible]

    @property
    def median(self) -> float | None:
        """Of all that count; None where there are none, or more than half were infeasible."""
        found = median(self.losses) if self.num else math.inf
        return None if math.isinf(found) else (found if self.objective.goal == "minimize" else -found)

    def of_losses(self, losses: Sequence[float]) -> tuple[float, ...]:
        """Losses as values of the objective, the lowest first."""
        return tuple(sorted(losses if self.objective.goal == "minimize" else (-loss for loss in losses)))

    @property
    def deviation(self) -> float | None:
        """Their standard deviation; None of fewer than two, or where one was infeasible."""
        return stdev(self.values) if len(self.values) > 1 and not self.num_infeasible else None


def retrainings_of(
    trials: Iterable[Trial], point: tuple[str, int], objective: Objective, source_hash: str, *, with_first: bool
) -> Retrainings:
    """Those of one point.

    Args:
        trials: of its round, repeats included.
        point: its study and index.
        objective: the round's.
        source_hash: of the workload's code as it is now; what other code has trained is outdated.
        with_first: whether the first run counts, too: not where a search has picked the point for it.
    """
    own = [each for each in trials if (each.study, each.index) == point and (each.repeat or with_first)]
    ended = [each for each in own if each.outcome is not None]
    current = [each for each in ended if not is_outdated(each, source_hash)]
    completed = [each.objective for each in current if each.outcome is Outcome.COMPLETED]
    return Retrainings(
        objective=objective,
        values=tuple(value for value in completed if value is not None),
        num_infeasible=sum(each.outcome is Outcome.INFEASIBLE for each in current),
        num_failed=sum(each.outcome is Outcome.FAILED for each in current),
        num_outdated=len(ended) - len(current),
    )


def is_outdated(trial: Trial, source_hash: str) -> bool:
    """Whether other code than today's has trained it; what is not known is taken for today's."""
    hashes = {attempt.source_hash for attempt in trial.attempts if attempt.source_hash}
    return bool(source_hash and hashes - {source_hash})


def num_by_price(trials: Iterable[Trial]) -> int:
    """How many retrainings are made where nobody says it: 20, or as many as one gang trains in an hour, at least 5."""
    seconds = seconds_of(trials)
    if not seconds:
        return NUM_SHORT
    return max(NUM_LEAST, min(NUM_SHORT, int(PRICE_S / seconds)))


def seconds_of(trials: Iterable[Trial]) -> float | None:
    """What a training takes, by those that were completed; None where that is not known."""
    found = [each.training.train_s for each in trials if each.outcome is Outcome.COMPLETED and each.training]
    return median(found) if found else None


def price_sentence(num_configurations: int, num_retrains: int, seconds: float | None) -> str:
    """What retraining costs, before it begins."""
    each = "" if seconds is None else f" of about {duration_text(seconds)} each"
    what = "the configuration" if num_configurations == 1 else f"each of {num_configurations} configurations"
    return (
        f"Retraining {what} {num_retrains} times with other seeds: {num_configurations * num_retrains} "
        f"trainings{each}, but for those that were made before."
    )


def histogram_points(retrained: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Runs in rising order with the share of runs that are at most as large: an empirical distribution."""
    ordered = sorted(retrained)
    return tuple(ordered), tuple((place + 1) / len(ordered) for place in range(len(ordered)))
