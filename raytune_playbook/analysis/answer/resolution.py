"""How fine the objective can be told: one validation example, chance among the examples, and what retraining changes.

The playbook: "the trial variance alone can produce statistically significant differences between two different trained
models that use the same hyperparameter settings", so where points were trained again, their variance is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from raytune_playbook.analysis.evaluation_sample import NUM_EXAMPLES, difference_error
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.series.curves import Evaluation
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome

_IS_WHOLE = 1e-4
"""So close to a whole number of examples a measured mean is, computed in whatever precision."""


def num_scored(evidence: Evidence) -> int | None:
    """How many examples the objective counts: all trials' objectives are whole multiples of one example; else None."""
    num_examples = _num_evaluated(evidence)
    objectives = [trial.objective for trial in evidence.ranked if trial.objective is not None]
    if not num_examples or not objectives:
        return None
    is_count = all(0 <= value <= 1 and _is_whole(value * num_examples) for value in objectives)
    return num_examples if is_count else None


def is_perfect(evidence: Evidence) -> bool:
    """Whether the best trial has no example wrong: another one cannot be better, only as good."""
    if num_scored(evidence) is None:
        return False
    return evidence.ranked[0].objective == (0 if evidence.objective.goal == "minimize" else 1)


def _num_evaluated(evidence: Evidence) -> int | None:
    """Of a sample of the examples where evaluation scores one, else all of the split."""
    about = Evaluation(evidence.objective.split, NUM_EXAMPLES)
    sampled = [int(curves.about[about].values[0]) for curves in evidence.curves.values() if about in curves.about]
    return sampled[0] if sampled else evidence.num_validation_examples


def _is_whole(count: float) -> bool:
    return abs(count - round(count)) <= _IS_WHOLE


def smallest_told(best: float, num_examples: int, *, is_error: bool) -> float:
    """How much worse another model's share must be for two standard errors between them on the same examples.

    Args:
        best: the better model's share of the examples, of errors or of correct ones.
        is_error: whether a larger share is worse.
    """
    steps = range(1, num_examples + 1)
    sign = 1 if is_error else -1
    for step in steps:
        other = best + sign * step / num_examples
        if not 0 <= other <= 1:
            break
        if step / num_examples > 2 * difference_error(best, other, num_examples):
            return step / num_examples
    return math.inf


@dataclass(frozen=True)
class RetrainVariance:
    """What training a point again with other seeds changes.

    Fields:
        deviation: standard deviation over repeats of a point.
        num_repeats: that it was learned from.
        freedom: degrees of freedom of it: how many repeats there are beyond one of each point.
    """

    deviation: float
    num_repeats: int
    freedom: int


def retrain_variance(evidence: Evidence) -> RetrainVariance | None:
    """Pooled over the points that were trained again at least twice; None without any.

    The first run of a point that was chosen for being best is better than it deserves, so only the repeats count.
    """
    groups = [values for values in _repeats(evidence).values() if len(values) >= 2]
    if not groups:
        return None
    freedom = sum(len(values) - 1 for values in groups)
    pooled = sum(variance(values) * (len(values) - 1) for values in groups) / freedom
    return RetrainVariance(math.sqrt(pooled), sum(map(len, groups)), freedom)


def retrained_difference(evidence: Evidence, one: Trial, other: Trial) -> tuple[float, float] | None:
    """The difference of two points and its standard error, by their repeats; None where retrain variance is not known.

    Without repeats of both it is the difference of the first runs.
    """
    known = retrain_variance(evidence)
    if known is None or one.objective is None or other.objective is None:
        return None
    repeats = _repeats(evidence)
    runs: list[Sequence[float]] = [repeats.get((trial.study, trial.index), ()) for trial in (one, other)]
    if not all(runs):
        runs = [(one.objective,), (other.objective,)]
    sign = 1 if evidence.objective.goal == "minimize" else -1
    error = known.deviation * math.sqrt(sum(1 / len(values) for values in runs))
    return sign * (fmean(runs[1]) - fmean(runs[0])), error


def _repeats(evidence: Evidence) -> dict[tuple[str, int], list[float]]:
    found: dict[tuple[str, int], list[float]] = {}
    for trial in evidence.trials:
        if trial.repeat and trial.outcome is Outcome.COMPLETED and trial.objective is not None:
            found.setdefault((trial.study, trial.index), []).append(trial.objective)
    return found
