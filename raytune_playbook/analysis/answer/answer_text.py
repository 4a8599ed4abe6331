"""The words of an answer: what a round says to its question, and what that rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from raytune_playbook.analysis.answer.arm_comparison import Comparison, Doubt, trial_loss
from raytune_playbook.analysis.answer.resolution import retrain_variance, smallest_told
from raytune_playbook.analysis.answer.study_variance import SURE
from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.wording import number_text
from raytune_playbook.study.wording import value_text, values_text

WIDER = 4
"""Where the medians of two values' trials differ by so many times what their best do, more of one's space is good."""

AHEAD = 0.9
"""A value whose chance is at least this looks better, so that it is said why it is not called so."""

_MOST_NAMED = 4
"""More values than this are counted, not named."""


def best_text(evidence: Evidence, found: Comparison) -> str:
    """Of a round that compares nothing: its best trial, and what another search would come to."""
    (arm,) = evidence.arms
    if arm.best is None:
        return "No trial was completed."
    number = number_text(arm.best.objective)
    sampled = [name for name, role in evidence.roles.items() if role == "scientific" and name in arm.space]
    values = {name: arm.best.values.get(name) for name in sampled}
    where = f" at {values_text(values)}" if values else ""
    metric, num_trials = evidence.objective.name, len(arm.ranked)
    sentence = f"The best of {num_trials:,} trials is {arm.best.text}{where}: {metric} {number}."
    if num_trials == 1:
        sentence = f"The only trial that was completed is {arm.best.text}{where}: {metric} {number}."
    elif len({trial.objective for trial in arm.ranked}) == 1:
        return f"All {num_trials:,} trials that were completed have the same {metric}, {number}: none is better."
    if (interval := found.intervals[0]) is None:
        return sentence
    low, high = map(number_text, interval)
    return f"{sentence} Another search as large would find {low} to {high} in 8 of 10 cases, and half of them better."


def better_text(evidence: Evidence, found: Comparison) -> str:
    """That one value is better than all others."""
    leader = _arm(evidence, found.leader)
    best = number_text(leader.best.objective if leader.best else None)
    sentence = f"{_name(leader)} is better: its best {evidence.objective.name} is {best}, "
    if found.next_best is None:
        return f"{sentence}and no trial of the other values was completed."
    other = _arm(evidence, found.next_best)
    number = number_text(other.best.objective if other.best else None)
    sure = f"It is so with a probability of {_percent(found.probability)}."
    return f"{sentence}the next best is {number} ({_short(other)}). {sure}"


def better_means(evidence: Evidence, found: Comparison) -> Iterator[str]:
    """What is meant by "better", and whether it is for a better optimum or for more of the space that is good."""
    yield "Better is meant after as much tuning as here, over these ranges; after more of it others may catch up."
    if found.next_best is None or found.difference is None:
        return
    leader, other = _arm(evidence, found.leader), _arm(evidence, found.next_best)
    difference = _median_loss(evidence, other) - _median_loss(evidence, leader)
    if math.isfinite(difference) and difference > WIDER * found.difference:
        yield (
            f"More of the search space is good with {_short(leader)}, rather than its best point better: half of the "
            f"trials differ by {number_text(difference, 2)} (medians), the best by {number_text(found.difference, 2)}."
        )


def _median_loss(evidence: Evidence, arm: Arm) -> float:
    """Over all trials that did not crash; infinite where half of them are infeasible."""
    losses = [loss for trial in arm.ended if (loss := trial_loss(trial, evidence)) is not None]
    return median(losses) if losses else math.inf


def no_difference_text(evidence: Evidence, found: Comparison) -> str:
    """That the best values are not told apart, and how large a difference would have had to be."""
    leading = _leading(evidence, found)
    best = [arm.best.objective for arm in leading if arm.best and arm.best.objective is not None]
    metric = evidence.objective.name
    if len(set(best)) == 1:
        sentence = f"No difference shown: {_listed(leading)} tie at a {metric} of {number_text(best[0])}."
    else:
        ends = " to ".join(number_text(end) for end in (min(best), max(best)))
        sentence = f"No difference shown: the best {metric} of {_listed(leading)} is {ends}, too close to tell apart."
        sentence += _why_not_better(evidence, found)
    if behind := [arm for arm in evidence.arms if arm.best and arm not in leading]:
        sentence += f" {_listed(behind)} {'is' if len(behind) == 1 else 'are'} worse."
    if found.detectable is not None:
        sentence += f" A difference of {number_text(found.detectable, 2)} or more would have been seen."
    return sentence


def _why_not_better(evidence: Evidence, found: Comparison) -> str:
    """What a lead could be by chance, of a value that is ahead so often that it looks better; else nothing."""
    chance = found.chances[found.leader or 0]
    if chance < AHEAD:
        return ""
    ahead = (
        f" {_short(_arm(evidence, found.leader))} is ahead in {_percent(chance)} of random halves of the points, but"
    )
    match found.doubt:
        case Doubt.EXAMPLES:
            lead = round((found.difference or 0.0) * (found.num_scored or 0))
            return f"{ahead} by {lead:,} of {found.num_scored:,} validation examples, which could be chance."
        case Doubt.RETRAINING:
            return f"{ahead} trained again with other seeds the best points may change places."
        case _:
            return f"{ahead} luck alone reaches that too often; from {SURE:.1%} on it would count."


def too_few_text(evidence: Evidence, found: Comparison, needed: int) -> str:
    """That a value's trials are too few to rule out luck."""
    leader = _arm(evidence, found.leader)
    number = len(leader.ranked)
    done = f"only {number} trial{' was' if number == 1 else 's were'} completed"
    best = number_text(leader.best.objective if leader.best else None)
    if found.is_tie and leader.best is not None:
        tied = [arm for arm in evidence.arms if arm.best and arm.best.objective == leader.best.objective]
        return (
            f"Cannot tell yet: {_listed(tied)} tie at a {evidence.objective.name} of {best}, but {done} with "
            f"{_short(leader)}, and fewer than {needed} may be luck."
        )
    return (
        f"Cannot tell yet: {_name(leader)} is ahead with {evidence.objective.name} {best}, but {done} with it, "
        f"and fewer than {needed} may be luck."
    )


def target_text(evidence: Evidence, target: float) -> str:
    """Of trials that end as soon as they are good enough."""
    return (
        f"Nothing to compare: trials end when they reach a {evidence.objective.name} of {number_text(target)}, so what "
        "tells their values apart is how many steps that took."
    )


def reasons_of(evidence: Evidence, found: Comparison) -> Iterator[str]:
    """What the answer rests on, one sentence each."""
    if found.leader is None or found.next_best is None:
        return
    leader, other = _arm(evidence, found.leader), _arm(evidence, found.next_best)
    yield _difference_text(leader, other, found)
    yield _chances_text(evidence, found)
    counted, best = found.num_scored, leader.best
    if counted is not None and best is not None and best.objective is not None:
        told = smallest_told(best.objective, counted, is_error=evidence.objective.goal == "minimize")
        if told <= 1:
            yield f"On other validation examples a difference of fewer than {round(told * counted)} could be chance."
    if (known := retrain_variance(evidence)) is None:
        yield "How much a point varies when it is trained again is not known."
    else:
        yield (
            f"Trained again with other seeds, a point varies by ±{number_text(known.deviation, 2)} "
            f"({known.num_repeats} repeats)."
        )


def _difference_text(leader: Arm, other: Arm, found: Comparison) -> str:
    if found.is_tie:
        return f"The best trials of {_short(leader)} and {_short(other)} are equal."
    sentence = f"The best trials of {_short(leader)} and {_short(other)} differ by {number_text(found.difference, 2)}"
    if found.num_scored is None or found.difference is None:
        return f"{sentence}."
    return f"{sentence}, {round(found.difference * found.num_scored)} of {found.num_scored:,} examples."


def _chances_text(evidence: Evidence, found: Comparison) -> str:
    pairs = sorted(zip(found.chances, evidence.arms, strict=True), key=lambda pair: -pair[0])[:_MOST_NAMED]
    shares = ", ".join(f"{_short(arm)} {_percent(chance)}" for chance, arm in pairs if chance >= 0.005)
    return f"Which has the best trial, if half of the points are left out at random: {shares}."


def _arm(evidence: Evidence, place: int | None) -> Arm:
    return evidence.arms[place or 0]


def _leading(evidence: Evidence, found: Comparison) -> list[Arm]:
    return [arm for arm, is_leading in zip(evidence.arms, found.leading, strict=True) if is_leading]


def _name(arm: Arm) -> str:
    """``batch_norm=sync``."""
    return values_text(arm.values) or arm.study


def _short(arm: Arm) -> str:
    """``sync``, where the hyperparameter is known from the sentence; numbers keep their name."""
    if len(arm.values) == 1 and isinstance(value := next(iter(arm.values.values())), str):
        return value_text(value)
    return _name(arm)


def _listed(arms: Sequence[Arm]) -> str:
    if len(arms) > _MOST_NAMED:
        return f"{len(arms)} values"
    *first, last = map(_short, arms)
    return f"{', '.join(first)} and {last}" if first else last


def _percent(probability: float) -> str:
    """Never a hundred: nothing is as sure as that."""
    return f"{min(99, round(100 * probability))}%"
