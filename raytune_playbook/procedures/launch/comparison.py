"""Is a candidate better than its baseline, beyond what chance does to each (rule AD3)?

Both were trained again with other seeds. The run that a search has picked is better than it deserves, so it is not
among them; and of several runs the *median* counts, not the lucky best.

*Probability of improvement*: that the candidate's median is better. The difference of the two medians, over its
standard error, is held against Student's distribution with Welch's degrees of freedom. A median's standard error comes
from the distance between two runs on either side of it (R. M. Price and D. G. Bonett, Estimating the variance of the
sample median, 2001), so that neither a skewed distribution nor a few wild runs mislead it, and the two may differ in
spread. What chance among the validation examples adds, where it is known, no retraining takes away: it is added.

*Share of pairs*: how often one run of the candidate beats one of the baseline, a tie counting one half.

How often the verdict is wrong `tests.procedures.launch.rates` measures. Values are losses here: small is good, and a
run that was infeasible has an infinite one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import NormalDist, median, stdev

from scipy import stats

METHOD = "difference of medians over its standard error (Price and Bonett), by Student's t with Welch's freedom"

SURE = 0.96
"""A candidate with at least this probability of improvement is adopted: a little more than 0.95, since with the most
awkward noise the probability is a little too high."""

NUM_LEAST = 5
"""Fewer retrainings of either are not enough evidence for anything."""

PAIRS_WON = 0.75
"""What a change that adds complexity has to win of the pairs of runs, so that its gain shows in single runs
(X. Bouthillier et al., Accounting for variance in machine learning benchmarks, 2021)."""


class Verdict(StrEnum):
    """Whether a candidate replaces its baseline."""

    ADOPT = "adopt"
    DO_NOT_ADOPT = "do not adopt"
    NOT_ENOUGH_EVIDENCE = "not enough evidence"


class Because(StrEnum):
    """What a verdict rests on."""

    BETTER = "the candidate is better"
    NOT_BETTER = "the candidate is not better"
    FEW_RETRAININGS = "there are too few retrainings"
    CHANCE_OF_RETRAINING = "the difference could be chance of retraining"
    CHANCE_OF_EXAMPLES = "the difference could be chance among the validation examples"
    COMPLEXITY = "the gain does not outweigh the complexity"


@dataclass(frozen=True)
class Comparison:
    """What a candidate and its baseline come to.

    Fields:
        candidate, baseline: the median of each.
        gain: by how much the candidate's median is better; negative where it is worse.
        retrain_error: the standard error of that by retraining.
        sampling_error: and by the choice of the validation examples; None where it is not known.
        probability: of improvement.
        pairs_won: the share of pairs of runs that the candidate wins.
        num_needed: retrainings of each by which a gain of this size would be shown; None where none are needed, or none
            would do.
    """

    verdict: Verdict
    because: Because
    candidate: float
    baseline: float
    gain: float
    retrain_error: float
    sampling_error: float | None
    probability: float
    pairs_won: float
    num_needed: int | None


def compare(
    candidate: Sequence[float],
    baseline: Sequence[float],
    *,
    sampling_error: float | None = None,
    adds_complexity: bool = False,
) -> Comparison | None:
    """Hold a candidate against its baseline.

    Args:
        candidate, baseline: the losses of their retrainings, (num_retrains,).
        sampling_error: the standard error of their difference by the choice of the validation examples, where it is
            known.
        adds_complexity: whether the change is worth it only with a gain that shows in single runs.

    Returns:
        None where one of them was not retrained at all.
    """
    if not candidate or not baseline:
        return None
    medians = median(candidate), median(baseline)
    gain = _difference(medians[1], medians[0])
    errors, numbers = (_median_error(candidate), _median_error(baseline)), (len(candidate), len(baseline))
    retrain_error = math.hypot(*errors)
    probability = _probability(gain, errors, numbers, sampling_error or 0.0)
    pairs_won = _pairs_won(candidate, baseline)
    few = min(numbers) < NUM_LEAST
    is_sure = probability >= SURE
    if few:
        verdict, because = Verdict.NOT_ENOUGH_EVIDENCE, Because.FEW_RETRAININGS
    elif gain <= 0:
        verdict, because = Verdict.DO_NOT_ADOPT, Because.NOT_BETTER
    elif is_sure and adds_complexity and pairs_won < PAIRS_WON:
        verdict, because = Verdict.DO_NOT_ADOPT, Because.COMPLEXITY
    elif is_sure:
        verdict, because = Verdict.ADOPT, Because.BETTER
    else:
        by_examples = (sampling_error or 0.0) > retrain_error
        chance = Because.CHANCE_OF_EXAMPLES if by_examples else Because.CHANCE_OF_RETRAINING
        verdict, because = Verdict.NOT_ENOUGH_EVIDENCE, chance
    return Comparison(
        verdict=verdict,
        because=because,
        candidate=medians[0],
        baseline=medians[1],
        gain=gain,
        retrain_error=retrain_error,
        sampling_error=sampling_error,
        probability=probability,
        pairs_won=pairs_won,
        num_needed=None if few or is_sure else _num_needed(gain, errors, numbers, sampling_error),
    )


def spread(losses: Sequence[float]) -> float | None:
    """The standard deviation of retrainings; None where it is not known, as of one, or where one was infeasible."""
    return stdev(losses) if len(losses) > 1 and all(map(math.isfinite, losses)) else None


def median_interval(losses: Sequence[float], confidence: float = 0.9) -> tuple[float, float] | None:
    """Where the true median lies, whatever the distribution: between two of the ordered runs; None of too few."""
    ordered, number = sorted(losses), len(losses)
    outside = 0
    while outside < number // 2 and 2 * float(stats.binom.cdf(outside, number, 0.5)) <= 1 - confidence:
        outside += 1
    return None if not outside else (ordered[outside - 1], ordered[number - outside])


def _difference(a: float, b: float) -> float:
    """Of two losses that are both infinite there is none."""
    return 0.0 if a == b else a - b


def _median_error(losses: Sequence[float]) -> float:
    ordered, number = sorted(losses), len(losses)
    if number < 2:
        return math.inf
    place = max(1, round((number + 1) / 2 - math.sqrt(number)))
    low, high = ordered[place - 1], ordered[number - place]
    outside = float(stats.binom.cdf(place - 1, number, 0.5))
    error = _difference(high, low) / (2 * NormalDist().inv_cdf(1 - outside))
    if error == 0 and (deviation := spread(losses)):  # most runs are equal, and not all
        error = math.sqrt(math.pi / 2) * deviation / math.sqrt(number)
    # Losses that come in steps, such as shares of few examples, were rounded to them.
    step = min((b - a for a, b in pairwise(ordered) if a < b), default=0.0)
    return math.hypot(error, step / math.sqrt(12)) if math.isfinite(step) else error


def _probability(gain: float, errors: tuple[float, float], numbers: tuple[int, int], sampling_error: float) -> float:
    variance = math.fsum(error**2 for error in errors) + sampling_error**2
    if gain == 0 or math.isinf(variance):
        return 0.5 if math.isfinite(gain) else float(gain > 0)
    if variance == 0 or math.isinf(gain):
        return float(gain > 0)
    return float(stats.t.cdf(gain / math.sqrt(variance), _freedom(errors, numbers, variance)))


def _freedom(errors: tuple[float, float], numbers: tuple[int, int], variance: float) -> float:
    """Welch's, in which a known error has any number of degrees."""
    below = math.fsum(error**4 / (number - 1) for error, number in zip(errors, numbers, strict=True) if number > 1)
    return min(1e6, variance**2 / below) if below > 0 else 1e6


def _pairs_won(candidate: Sequence[float], baseline: Sequence[float]) -> float:
    won = sum((a < b) + (a == b) / 2 for a in candidate for b in baseline)
    return won / (len(candidate) * len(baseline))


def _num_needed(
    gain: float, errors: tuple[float, float], numbers: tuple[int, int], sampling_error: float | None
) -> int | None:
    """By how many retrainings of each the spread of the medians would be small enough, were the gain as large."""
    each = [error**2 * number for error, number in zip(errors, numbers, strict=True)]
    allowed = (gain / NormalDist().inv_cdf(SURE)) ** 2 - (sampling_error or 0.0) ** 2
    if gain <= 0 or allowed <= 0 or not math.isfinite(sum(each)) or not math.isfinite(gain):
        return None
    return max(max(numbers) + 1, math.ceil(sum(each) / allowed))
