"""How far another search would come to something else: the study variance of the best trial (rule AD2).

The playbook: study variance is "the variation in results caused by our procedure to select the hyperparameters"; it
"depends on the number of trials and the search space". It is told from the trials there are, in two ways.

*Chances*: leave out each point of the search with probability one half, and see which arm has the best trial of what is
left. Arms that were tried at the same nuisance values lose a point together, so what is compared there is like with
like. A plain bootstrap keeps the luckiest trial in 63% of its samples, however lucky it was, and so finds winners among
equals; here, where two arms do not differ, the chance of the one that leads exceeds a number p in 2 (1 - p) of all
rounds, whatever the distribution of their objectives: the best point is gone in half of the draws, and each further
point on which the lead rests halves what is left.

*Interval*: of two searches of n trials each, which draw from one distribution, the second's best is worse than the r-th
best of the first with the probability that all of those r fell to the first. That gives the end on the side of the
worse. On the side of the better nothing was seen; there the best few trials are reflected at the best.

Objectives are losses here: small is good, and an infeasible trial has an infinite one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SURE = 0.985
"""A lead whose chance is at least this is no luck: of two arms without a difference one has it in 3 of 100 rounds."""

NUM_REFLECTED = 6
"""So many of the best trials tell how much better another search could be; with fewer completed nothing is told."""

_FORGOTTEN = 1e-9
"""What has less weight than this no longer counts."""

_NUM_SHUFFLES = 50
_MAX_TRIALS_SHUFFLED = 30
_OWN_LUCK = 1.7
"""Shuffles of one round know only that round's luck: what they ask for has to be so much more, measured over generated
rounds, for 9 of 10 others to show it; 1.5 was enough in 89 of 100."""


@dataclass(frozen=True)
class Tried:
    """One trial of an arm.

    Fields:
        point: where it was; arms that share a point were tried at the same nuisance values.
        loss: infinite of an infeasible trial.
    """

    point: Hashable
    loss: float


def chances(arms: Sequence[Sequence[Tried]]) -> list[float]:
    """Of each arm, in what share of the draws of points it has the best trial; equal ones share alike.

    They sum to less than 1 by the share of draws in which nothing is left: few trials leave every arm in doubt.
    """
    losses = np.array([trial.loss for arm in arms for trial in arm])
    labels = np.array([place for place, arm in enumerate(arms) for _ in arm], dtype=np.int64)
    numbers: dict[Hashable, int] = {}
    points = np.array([numbers.setdefault(trial.point, len(numbers)) for arm in arms for trial in arm], dtype=np.int64)
    return _chances(losses, labels, points, len(arms))


def _chances(
    losses: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    points: npt.NDArray[np.int64],
    num_arms: int,
    forgotten: float = _FORGOTTEN,
) -> list[float]:
    """The same from arrays of shape (num_trials,); points of less weight than ``forgotten`` no longer count."""
    found = [0.0] * num_arms
    order = np.argsort(losses, kind="stable")
    rows = list(zip(losses[order].tolist(), labels[order].tolist(), points[order].tolist(), strict=True))
    seen: set[int] = set()
    left, start = 1.0, 0
    while start < len(rows) and left > forgotten and (loss := rows[start][0]) < math.inf:
        end = start
        # Trials with the same loss decide together, at the points that are new; each has its part.
        while end < len(rows) and rows[end][0] == loss:
            end += 1
        equal = [(label, point) for _, label, point in rows[start:end] if point not in seen]
        if equal:
            seen.update(point for _, point in equal)
            kept = left * 0.5 ** len({point for _, point in equal})
            for label, _ in equal:
                found[label] += (left - kept) / len(equal)
            left = kept
        start = end
    return found


def detectable(arms: Sequence[Sequence[Tried]]) -> float | None:
    """By how much one arm would have had to be better for its lead to be sure in 9 of 10 rounds like this one.

    The arms are made equal and their labels shuffled, at each shared point among those tried there; then one of them is
    improved until it leads for sure.

    Returns:
        None where no improvement would do: too few trials were completed.
    """
    kept = [sorted(arm, key=lambda trial: trial.loss)[:_MAX_TRIALS_SHUFFLED] for arm in arms]
    if len(kept) < 2 or any(not arm or arm[0].loss == math.inf for arm in kept):
        return None
    losses = np.concatenate([np.array([trial.loss for trial in arm]) - arm[0].loss for arm in kept])
    labels = np.array([place for place, arm in enumerate(kept) for _ in arm], dtype=np.int64)
    numbers: dict[Hashable, int] = {}
    points = np.array([numbers.setdefault(trial.point, len(numbers)) for arm in kept for trial in arm], dtype=np.int64)
    rng = np.random.default_rng(0)
    needed = [_needed(losses, _shuffled(labels, points, rng), points, len(kept)) for _ in range(_NUM_SHUFFLES)]
    quantile = float(np.quantile(needed, 0.9, method="higher"))
    return _OWN_LUCK * quantile if quantile < math.inf else None


def _shuffled(
    labels: npt.NDArray[np.int64], points: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Labels dealt anew among the trials at one point, where several arms share it, else among all trials."""
    drawn = rng.permutation(len(labels))
    if len(np.unique(points)) == len(points):
        return labels[drawn]
    # Sorted by point, once as they are and once in random order within each point.
    by_point = np.argsort(points, kind="stable")
    at_random = drawn[np.argsort(points[drawn], kind="stable")]
    found = labels.copy()
    found[by_point] = labels[at_random]
    return found


def _needed(
    losses: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], points: npt.NDArray[np.int64], num_arms: int
) -> float:
    """How much better the first arm has to become to lead for sure."""
    own = labels == 0

    def is_sure(gain: float) -> bool:
        return bool(_chances(np.where(own, losses - gain, losses), labels, points, num_arms, 1e-4)[0] >= SURE)

    finite = losses[np.isfinite(losses)]
    high = 1.01 * float(np.ptp(finite)) + 1e-12 if len(finite) else 0.0
    if not is_sure(high):
        return math.inf
    low = 0.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if is_sure(middle) else (middle, high)
    return high


def interval_of_best(losses: Sequence[float]) -> tuple[float, float] | None:
    """Where the best of as many trials of another search would lie, in 8 of 10 cases; None where too few trials tell.

    Args:
        losses: of all trials of a search that were completed or infeasible.
    """
    ordered = sorted(losses)
    num_trials = len(ordered)
    if num_trials < NUM_REFLECTED or ordered[NUM_REFLECTED - 1] == math.inf:
        return None
    probability, before, rank = 1.0, 1.0, 0
    while probability > 0.1:
        before = probability
        probability *= (num_trials - rank) / (2 * num_trials - rank)
        rank += 1
    # Between the last two ranks, as the logarithm of the probability falls.
    part = math.log(before / 0.1) / math.log(before / probability)
    high = ordered[rank - 2] + part * (ordered[rank - 1] - ordered[rank - 2])
    return 2 * ordered[0] - ordered[NUM_REFLECTED - 1], high


def rank_of_another(losses: Sequence[float]) -> int | None:
    """Which of a search's best another one of as many points, drawn alike, reaches at least, in 9 of 10 cases.

    Exact, whatever the losses are distributed like: all points of both are exchangeable, so the other search finds
    nothing as good as the k-th best only where the k best of both are all of this one. How much better the other one
    can be, nothing that was seen can tell: there is no other end.

    Args:
        losses: of the points of a search, infinite of infeasible ones.

    Returns:
        The rank, from 1; None where so few are feasible that none is that sure.
    """
    num = len(losses)
    for rank in range(1, num + 1):
        # Of all draws of one search from both, those that leave the best ones to the first.
        if 10 * math.comb(2 * num - rank, num) <= math.comb(2 * num, num):
            return rank if math.isfinite(sorted(losses)[rank - 1]) else None
    return None
