"""Have we sampled enough points? (Rule IN2.)

The playbook: "In general, it can be very difficult to know if the search space has been sampled densely enough." What
can be told is how many trials came near the best, and by how much the best of N trials still falls as N doubles: beyond
the trials that there are it is carried on at the rate at which the last doublings' gains shrank, halfway to that of a
bowl, since few trials tell it badly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln
from scipy.stats import t as t_distribution

from raytune_playbook.analysis.answer.resolution import retrain_variance
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import NumTrials
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.sampled.points import Floats, points_of
from raytune_playbook.analysis.wording import form_for, number_text

RULE = "IN2"
QUESTION = "Have we sampled enough points from the search space?"

MIN_COMPLETED = 8
"""With fewer trials of a study no trend of the best of N can be told: it needs the best of an eighth of them. A value's
lead may be luck with fewer than `NUM_TO_BE_SURE`, which is another question and takes fewer."""

MIN_GOOD = 3
"""So many trials must lie in the good region."""

WORTH = 0.05
"""A gain is worth its trials when it is larger than this share of the distance between the best and the median trial,
than the metric's resolution, and than what retraining a point changes by chance, as far as these are known."""

MANY = 100
"""From so many trials of a study on, more are asked for only where luck is known."""

LUCK = 0.05
"""So often retraining a point makes it better by chance by more than what a gain is compared with."""

SHRINKAGE = (0.35, 0.9)
"""Of the gain from one doubling to the next: within what would be believed."""

BOWL_SHRINKAGE = 0.6
"""That of a bowl in about three hyperparameters: the best of N falls as N^(-2/3)."""


@dataclass(frozen=True)
class _Study:
    """How densely one study was sampled.

    Fields:
        name: of the study.
        num_completed: trials.
        num_good: of them lie in the good region.
        good_within: of the best lies the good region: nearer to it than to the median, or as good as is known.
        gain: by how much the best is expected to improve with as many trials again.
        spread: between the best and the median.
    """

    name: str
    num_completed: int
    num_good: int
    good_within: float
    gain: float
    spread: float


def density(evidence: Evidence) -> Sequence[Finding]:
    """Whether more trials are expected to find better ones."""
    costs = _costs(evidence)
    tuned = {study.name for study in evidence.studies if study.space}
    if not tuned:
        return (_found(Status.PASSES, "Nothing was tuned, so one trial samples the space."),)
    least = min((len(costs.get(name, ())) for name in tuned), default=0)
    if least < MIN_COMPLETED:
        wanted = max(MIN_COMPLETED, 2 * max(study.num_trials for study in evidence.studies))
        sentence = (
            f"A study has {least} completed trials; fewer than {MIN_COMPLETED} do not tell whether more would find "
            "better ones."
        )
        return (_found(Status.CANNOT_TELL, sentence, proposal=_more(evidence, wanted)),)
    known = _known(evidence)
    studies = [_sampled(name, of_study, known) for name, of_study in costs.items() if name in tuned]
    if all(study.spread == 0 for study in studies):
        sentence = "Half of the trials of every study are as good as its best: more of them are not expected to help."
        return (_found(Status.PASSES, sentence),)
    return (_judged(evidence, studies, known),)


def _judged(evidence: Evidence, studies: Sequence[_Study], known: Mapping[str, float]) -> Finding:
    gain = float(np.mean([study.gain for study in studies]))
    spread = float(np.mean([study.spread for study in studies]))
    measures = {f"{WORTH:.0%} of the distance between the best trial and the median": WORTH * spread, **known}
    measure = max(measures, key=lambda name: measures[name])
    worth = measures[measure]
    thin = [study for study in studies if study.num_good < MIN_GOOD]
    fewest = min(studies, key=lambda study: study.num_good)
    numbers = {
        "num_good": fewest.num_good,
        "num_completed": fewest.num_completed,
        "good_within": fewest.good_within,
        "expected_gain_of_doubling": gain,
        "gain_worth_having": worth,
    }
    verb = form_for(fewest.num_good, "lies", "lie")
    where = "" if len(studies) == 1 else f" in {fewest.name}"
    good = (
        f"{fewest.num_good} of {fewest.num_completed} trials{where} {verb} in the good region (within "
        f"{number_text(fewest.good_within, 2)} of the best)"
    )
    expected = f"As many trials again are expected to improve the best by about {number_text(gain, 2)}"
    if gain > worth:
        sentence = f"{expected}, more than {measure} ({number_text(worth, 2)}); {good}."
    elif thin:
        sentence = f"Only {good}: too few to know that region."
    else:
        sentence = f"{expected}, no more than {measure} ({number_text(worth, 2)}); {good}."
        return _found(Status.PASSES, sentence, numbers=numbers)
    return _found(
        Status.LOOK,
        sentence,
        numbers=numbers,
        studies=tuple(study.name for study in thin) if len(thin) < len(studies) else (),
        proposal=_proposal(evidence, is_worth_it=gain > worth),
    )


def expected_best(costs: Sequence[float] | Floats, num_trials: int) -> float:
    """The mean of the best of so many trials over all choices of them, exactly.

    Args:
        costs: of shape (num_costs,), small is good.
        num_trials: at most as many.
    """
    ordered = np.sort(np.asarray(costs, dtype=float))
    num = len(ordered)
    worse = num - 1 - np.arange(num)  # how many are worse than each
    kept = worse >= num_trials - 1
    weights = np.exp(_log_choose(worse[kept], num_trials - 1) - _log_choose(np.array([num]), num_trials))
    return float(weights @ ordered[kept])


def _log_choose(num: Floats | np.ndarray[tuple[int, ...], np.dtype[np.int64]], chosen: int) -> Floats:
    logs: Floats = gammaln(num + 1) - gammaln(chosen + 1) - gammaln(num - chosen + 1)
    return logs


def _costs(evidence: Evidence) -> dict[str, Floats]:
    """The costs of the completed trials of each study."""
    found: dict[str, list[Floats]] = {}
    for arm in evidence.arms:
        costs = points_of(arm.ended, {}, evidence.objective).costs
        found.setdefault(arm.study, []).append(costs[np.isfinite(costs)])
    return {name: np.concatenate(costs) for name, costs in found.items()}


def _sampled(name: str, costs: Floats, known: Mapping[str, float]) -> _Study:
    best, median = float(costs.min()), float(np.median(costs))
    num = len(costs)
    within = max((median - best) / 2, *known.values(), 0.0)
    num_good = int((costs <= best + within * (1 + 1e-9)).sum())
    # What lies beyond the median says nothing of the good region, however bad it is.
    eighth, quarter, half = (expected_best(np.minimum(costs, median), max(1, num // part)) for part in (8, 4, 2))
    told = (quarter - half) / (eighth - quarter) if eighth > quarter else 1.0
    shrinkage = float(np.clip((told + BOWL_SHRINKAGE) / 2, *SHRINKAGE))
    gain = (quarter - half) * shrinkage**2
    return _Study(name, num, num_good, within, max(gain, 0.0), median - best)


def _known(evidence: Evidence) -> dict[str, float]:
    """What is known of the smallest difference that means something, by what it is."""
    known = {}
    objectives = [trial.objective for trial in evidence.ranked if math.isfinite(trial.objective or 0)]
    num = evidence.num_validation_examples
    counts = [objective * num for objective in objectives if objective is not None] if num else []
    if num and all(abs(count - round(count)) < 1e-4 for count in counts):
        known["the metric's resolution"] = 1 / num
    retrained = retrain_variance(evidence)
    if retrained is not None:
        # Few repeats tell their standard deviation badly: 2.4 times it counts for four of a point, 1.6 times for many.
        quantile = float(t_distribution.ppf(1 - LUCK, retrained.freedom))
        by = f"by {retrained.num_repeats} retrainings"
        known[f"what retraining a point changes by chance, {by}"] = quantile * retrained.deviation
    return known


def _proposal(evidence: Evidence, *, is_worth_it: bool) -> Proposal:
    """Twice the trials. Among many ones the best improves by luck alone without end, where retraining a point gives
    another result each time, and what is still rare among them stays so."""
    num_trials = max(study.num_trials for study in evidence.studies)
    if num_trials < MANY or (is_worth_it and retrain_variance(evidence) is not None):
        return _more(evidence, 2 * num_trials)
    if is_worth_it:
        return Proposal(
            "Before you give more trials, train the best point again a few times: without that it is not known whether "
            "they find better points or luckier ones. Or be less ambitious: tune fewer hyperparameters."
        )
    return Proposal("Search a narrower space around the best trials, or be less ambitious: tune fewer hyperparameters.")


def _more(evidence: Evidence, wanted: int) -> Proposal:
    each = "the study" if len(evidence.studies) == 1 else "each study"
    sentence = (
        f"Give {each} {wanted} trials; where that is too many, be less ambitious: tune fewer hyperparameters, or "
        "compare fewer values."
    )
    return Proposal(sentence, (NumTrials(wanted),))


def _found(
    status: Status,
    sentence: str,
    *,
    numbers: dict[str, float] | None = None,
    studies: tuple[str, ...] = (),
    proposal: Proposal | None = None,
) -> Finding:
    return Finding(RULE, QUESTION, status, sentence, numbers or {}, studies=studies, proposal=proposal)
