"""The best trials of a round's arms compared: who leads, by how much, and what speaks for luck (rules SD8 and AD2)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from raytune_playbook.analysis.answer.resolution import num_scored, retrained_difference, smallest_told
from raytune_playbook.analysis.answer.study_variance import SURE, Tried, chances, detectable, interval_of_best
from raytune_playbook.analysis.evaluation_sample import difference_error
from raytune_playbook.analysis.evidence import Arm, Evidence, same_text
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome

TOLD_APART = 2.0
"""Standard errors that a difference must exceed, whether of the validation examples or of retraining."""

_TOLD_PROBABILITY = NormalDist().cdf(TOLD_APART)

_MOST_SHUFFLED = 8
"""Of very many arms, the best so many say how large a difference would have had to be."""


class Doubt(StrEnum):
    """What keeps the value that is ahead from being better: what its lead could be by chance."""

    POINTS = "which points were tried"
    EXAMPLES = "on which examples it was measured"
    RETRAINING = "with which seeds it was trained"


@dataclass(frozen=True)
class Comparison:
    """What a round's arms came to, in their order.

    Fields:
        leader: the place of the arm with the best trial; None where no trial was completed.
        next_best: of the best of the others; None without one.
        chances: see `raytune_playbook.analysis.answer.study_variance.chances`.
        intervals: where the best of another search would lie; None where too few trials tell.
        leading: whether an arm leads, or cannot be told from the one that does.
        probability: that the leader is better than all others; the weakest of what there is to say about it.
        difference: between the best trial and the next arm's, never negative; None without two.
        detectable: how large it would have had to be; None where too few trials tell, or one arm leads.
        num_scored: how many examples the objective counts; None where it is no such count.
        doubt: what keeps the leader from being better; None where nothing does.
        is_tie: whether the two best are equal.
    """

    leader: int | None
    next_best: int | None
    chances: tuple[float, ...]
    intervals: tuple[tuple[float, float] | None, ...]
    leading: tuple[bool, ...]
    probability: float
    difference: float | None
    detectable: float | None
    num_scored: int | None
    doubt: Doubt | None

    @property
    def is_sure(self) -> bool:
        return self.leader is not None and sum(self.leading) == 1

    @property
    def is_tie(self) -> bool:
        return self.difference == 0


def compare(evidence: Evidence) -> Comparison:
    """Compare the arms by the best trial of each."""
    arms = evidence.arms
    tried = tried_of(evidence)
    shares = chances(tried)
    counted = num_scored(evidence)
    intervals = tuple(
        best_interval([trial.loss for trial in trials], evidence, is_share=counted is not None) for trials in tried
    )
    order = sorted((place for place, arm in enumerate(arms) if arm.best), key=lambda place: _best_loss(tried[place]))
    if not order:
        return Comparison(None, None, tuple(shares), intervals, (False,) * len(arms), 0.0, None, None, counted, None)
    leader, next_best = order[0], order[1] if len(order) > 1 else None
    doubts = {place: _told(evidence, arms[leader], arms[place], counted) for place in order[1:]}
    told = {place: min(found.values(), default=1.0) for place, found in doubts.items()}
    # However many trials of an arm tie with one of another, their best are equal.
    told |= {place: 0.5 for place in order[1:] if _best_loss(tried[place]) == _best_loss(tried[leader])}
    probability = min([shares[leader], *told.values()])
    is_sure = shares[leader] >= SURE and probability >= _TOLD_PROBABILITY
    leading = _leading(tried, order, told, is_sure=is_sure)
    return Comparison(
        leader=leader,
        next_best=next_best,
        chances=tuple(shares),
        intervals=intervals,
        leading=leading,
        probability=probability,
        difference=None if next_best is None else _best_loss(tried[next_best]) - _best_loss(tried[leader]),
        # Where a difference was seen nobody asks, and shuffling is what takes time here.
        detectable=None if sum(leading) == 1 else _detectable(evidence, tried, leader, counted),
        num_scored=counted,
        doubt=None if sum(leading) == 1 else _doubt([doubts[place] for place in order[1:] if leading[place]]),
    )


def _doubt(told: Sequence[Mapping[Doubt, float]]) -> Doubt:
    """What tells the leader the least from those it cannot be told from; where all of it does, the points do not."""
    probability, doubt = min((each, doubt) for found in told for doubt, each in [*found.items(), (Doubt.POINTS, 1.0)])
    return doubt if probability < _TOLD_PROBABILITY else Doubt.POINTS


def _leading(
    tried: Sequence[Sequence[Tried]], order: Sequence[int], told: Mapping[int, float], *, is_sure: bool
) -> tuple[bool, ...]:
    """Of each arm, whether it leads or cannot be told from the one that does, by the two of them alone."""
    leader, others = order[0], order[1:]
    # Each of the others has its own chance to look worse by luck.
    surely = 1 - (1 - SURE) / max(1, len(others))
    behind = {
        place
        for place in others
        if is_sure or (chances([tried[leader], tried[place]])[0] >= surely and told[place] >= _TOLD_PROBABILITY)
    }
    return tuple(place in order and place not in behind for place in range(len(tried)))


def tried_of(evidence: Evidence) -> list[list[Tried]]:
    """The trials of each arm, those that crashed left out.

    Arms share a point where they were tried at the same values of all nuisance hyperparameters that they all have.
    """
    arms = evidence.arms
    names = [name for name in arms[0].space if all(name in arm.space for arm in arms)] if len(arms) > 1 else []
    found: list[list[Tried]] = []
    for place, arm in enumerate(arms):
        again: Counter[Hashable] = Counter()
        trials = []
        for trial in arm.ended:
            if (loss := trial_loss(trial, evidence)) is None:
                continue
            point: Hashable = (place, trial.index)
            if names:
                values = tuple(same_text(trial.values.get(name)) for name in names)
                again[values] += 1
                point = (values, again[values])
            trials.append(Tried(point, loss))
        found.append(trials)
    return found


def trial_loss(trial: Trial, evidence: Evidence) -> float | None:
    """Infinite of an infeasible trial; None of one that crashed, which says nothing of its point."""
    if trial.outcome is Outcome.INFEASIBLE:
        return math.inf
    if trial.outcome is not Outcome.COMPLETED or trial.objective is None or not math.isfinite(trial.objective):
        return None
    return trial.objective if evidence.objective.goal == "minimize" else -trial.objective


def _best_loss(trials: Sequence[Tried]) -> float:
    return min((trial.loss for trial in trials), default=math.inf)


def _told(evidence: Evidence, leader: Arm, other: Arm, counted: int | None) -> dict[Doubt, float]:
    """How probable it is that the leader's best trial is better than the other's on other examples, and retrained."""
    if leader.best is None or other.best is None or leader.best.objective is None or other.best.objective is None:
        return {}
    found: dict[Doubt, float] = {}
    if counted is not None:
        error = difference_error(leader.best.objective, other.best.objective, counted)
        found[Doubt.EXAMPLES] = _probability(abs(leader.best.objective - other.best.objective), error)
    if (retrained := retrained_difference(evidence, leader.best, other.best)) is not None:
        found[Doubt.RETRAINING] = _probability(*retrained)
    return found


def _probability(difference: float, error: float) -> float:
    if error == 0:
        return 1.0 if difference > 0 else 0.5
    return NormalDist().cdf(difference / error)


def _detectable(evidence: Evidence, tried: Sequence[Sequence[Tried]], leader: int, counted: int | None) -> float | None:
    completed = sorted((trials for trials in tried if _best_loss(trials) < math.inf), key=_best_loss)
    needed = detectable(completed[:_MOST_SHUFFLED])
    best = evidence.arms[leader].best
    if needed is None or best is None or best.objective is None:
        return None
    found = [needed]
    if counted is not None:
        found.append(smallest_told(best.objective, counted, is_error=evidence.objective.goal == "minimize"))
    others = [arm.best for place, arm in enumerate(evidence.arms) if place != leader and arm.best]
    if others and (retrained := retrained_difference(evidence, best, others[0])) is not None:
        found.append(TOLD_APART * retrained[1])
    largest = max(found)
    return largest if math.isfinite(largest) else None


def best_interval(losses: Sequence[float], evidence: Evidence, *, is_share: bool) -> tuple[float, float] | None:
    """Where the best of another search would lie, as an objective; a share of examples is from 0 to 1.

    Args:
        losses: as `trial_loss` gives them.
    """
    if (found := interval_of_best(losses)) is None:
        return None
    low, high = found if evidence.objective.goal == "minimize" else (-found[1], -found[0])
    if evidence.objective.goal == "minimize" and min(losses) >= 0:
        low = max(0.0, low)  # a metric of which nothing negative was seen: an error, a loss
    return (max(0.0, low), min(1.0, high)) if is_share else (low, high)
