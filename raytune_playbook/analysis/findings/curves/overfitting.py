"""Does validation error rise while training error falls? (Rule IN6.)

See the playbook's "Examining the training curves": problematic overfitting in a best trial calls for more
regularization before scientific values are compared; in other trials it makes the selection of the best favour
configurations with more regularization.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.looked_at import (
    TRAIN,
    VALIDATION,
    best_of_arms,
    completed,
    no_curves,
    num_examples,
    number_of,
    too_few_evaluations,
    trials_text,
    wrong_examples,
)
from raytune_playbook.analysis.findings.curves.regularizers import more_regularization
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.series.noise import MIN_POINTS, QUANTIZATION, rise, step_to_step
from raytune_playbook.analysis.series.stacks import Stack, evaluated, stacked, training_loss
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import count_text, form_for, number_text
from raytune_playbook.study.hyperparameters.known import purpose_of, usual_name

RULE, QUESTION = "IN6", "Does any trial overfit?"

MIN_RISE = 0.05
"""A rise by less than this share of the lowest error is no problem."""

SIGNIFICANT = 4.0
"""Standard errors by which the rise exceeds noise: the lowest of many points lies low by chance alone."""

MIN_SHARE = 0.1
"""In so many of all trials it is worth a look."""

_CHANCES_TO_BE_SMALLER = 0.75
"""From this probability on that of two trials the one without overfitting has the smaller learning rate, it is said."""

_IS_FIT = 0.05
"""A training set is fit where its metric has lost all but this share of its value at the start."""


@dataclass(frozen=True)
class Overfit:
    """A trial that overfits.

    Fields:
        lowest, step: its validation metric where that was best, and the step.
        end: the metric at the end of training.
        is_training_known: whether how training went on was recorded.
    """

    trial: Trial
    lowest: float
    step: int
    end: float
    is_training_known: bool


def overfitting(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the best trial of every arm, then at all trials."""
    stacks = evaluated(evidence, completed(evidence), VALIDATION)
    if not stacks:
        return [no_curves(RULE, QUESTION, evidence)]
    long_enough = [stack for stack in stacks if stack.values.shape[1] >= MIN_POINTS]
    if not long_enough:
        return [too_few_evaluations(RULE, QUESTION, stacks, MIN_POINTS)]
    found = overfit_trials(evidence, long_enough)
    looked_at = [trial for stack in long_enough for trial in stack.trials]
    best = {trial.id for trial in best_of_arms(evidence)}
    of_best = [overfit for overfit in found if overfit.trial.id in best]
    numbers = {
        "num_overfit": float(len(found)),
        "num_best_overfit": float(len(of_best)),
        "num_trials": float(len(looked_at)),
    }
    if not any(one.is_training_known for one in of_best or found) and (of_best or _are_many(found, looked_at)):
        return [_perhaps_overfit(evidence, of_best or found, looked_at, numbers)]
    if of_best:
        return [_best_overfit(evidence, of_best, found, looked_at, numbers)]
    if _are_many(found, looked_at):
        return [_others_overfit(evidence, found, looked_at, numbers)]
    where = "any best trial" if len(best) > 1 else "the best trial"
    few = f", and in {len(found)} of all {count_text(len(looked_at))} trials" if found else " or in any other"
    sentence = f"The {evidence.objective.metric} on validation does not get worse again in {where}{few}."
    return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers, tuple(one.trial.id for one in found))]


def _are_many(found: Sequence[Overfit], looked_at: Sequence[Trial]) -> bool:
    return bool(found) and len(found) >= MIN_SHARE * len(looked_at)


def overfit_trials(evidence: Evidence, stacks: Sequence[Stack]) -> list[Overfit]:
    """The trials whose validation metric ends worse than it was, while training did not, as far as that is known.

    Args:
        stacks: of the validation metric, each of `MIN_POINTS` or more.
    """
    return [overfit for stack in stacks for overfit in _of_stack(evidence, stack)]


def _of_stack(evidence: Evidence, stack: Stack) -> list[Overfit]:
    num = num_examples(evidence, stack.trials[0], VALIDATION)
    is_counted = wrong_examples(evidence, stack) is not None
    found = rise(stack.values, smallest=QUANTIZATION / num if num and is_counted else 0.0)
    by = found.end - found.lowest
    rises = (found.significance > SIGNIFICANT) & (by >= MIN_RISE * np.abs(found.lowest))
    if num and is_counted:
        # Two models of one trial get at least half of their wrong examples wrong together; the rest differs by chance.
        rises &= num * by > 2 * np.sqrt(num * (found.end + found.lowest) / 2)
    return [
        Overfit(
            stack.trials[row],
            stack.as_measured(float(found.lowest[row])),
            int(stack.steps[found.place[row]]),
            stack.as_measured(float(found.end[row])),
            is_training_known=goes_on is not None,
        )
        for row in np.flatnonzero(rises)
        if (goes_on := _training_goes_on(evidence, stack.trials[row], int(stack.steps[found.place[row]]))) is not False
    ]


def _training_goes_on(evidence: Evidence, trial: Trial, step: int) -> bool | None:
    """Whether training is no worse at the end than it was at this step, by more than noise; None where that is not
    known. Where training gets worse as well, it is no overfitting."""
    loss = training_loss(evidence.curves[trial.id])
    stacks = evaluated(evidence, [trial], TRAIN) if loss is None else stacked([(trial, loss)])
    for stack in stacks:
        values, num_points = stack.values[0], stack.values.shape[1]
        if num_points < MIN_POINTS:
            continue
        length = max(2, num_points // 10)
        place = max(length, int(np.searchsorted(stack.steps, step)))
        before, end = values[place - length : place].mean(), values[-length:].mean()
        error = float(step_to_step(stack.values[:, place - length :])[0]) * (2 / length) ** 0.5
        return bool(end <= before + max(0.02 * abs(before), 2 * error))
    return None


# ---------------------------------------------------------------------- in words


def _best_overfit(
    evidence: Evidence,
    of_best: Sequence[Overfit],
    found: Sequence[Overfit],
    looked_at: Sequence[Trial],
    numbers: Mapping[str, float],
) -> Finding:
    first = max(of_best, key=lambda one: abs(one.end - one.lowest))
    regularizers = [name for name in evidence.scientific if purpose_of(usual_name(name)) == "regularization"]
    num_best = len(best_of_arms(evidence))
    whose = "the best trial" if num_best == 1 else f"{len(of_best)} of {num_best} best trials"
    sentences = [
        f"In {whose} validation gets worse while training does not: in {first.trial.text} the "
        f"{evidence.objective.metric} goes from {number_text(first.lowest, 3)} at step {count_text(first.step)} to "
        f"{number_text(first.end, 3)} at the end; {len(found)} of all {count_text(len(looked_at))} trials "
        f"{form_for(len(found), 'overfits', 'overfit')}.",
        *_qualifications(evidence, found, looked_at),
    ]
    if regularizers:
        sentences.append(f"With {', '.join(regularizers)} compared, that is to be expected of its weak settings.")
    elif num_best > 1:
        sentences.append("Compare the values again with more regularization.")
    return Finding(
        RULE,
        QUESTION,
        Status.LOOK if regularizers else Status.PROBLEM,
        " ".join(sentences),
        numbers,
        tuple(one.trial.id for one in of_best),
        tuple(dict.fromkeys(one.trial.study for one in of_best)),
        withholds=not regularizers and num_best > 1,
        proposal=None if regularizers else more_regularization(evidence),
    )


def _perhaps_overfit(
    evidence: Evidence, found: Sequence[Overfit], looked_at: Sequence[Trial], numbers: Mapping[str, float]
) -> Finding:
    first = max(found, key=lambda one: abs(one.end - one.lowest))
    sentence = (
        f"Validation gets worse again in {len(found)} of {count_text(len(looked_at))} trials: in {first.trial.text} "
        f"the {evidence.objective.metric} goes from {number_text(first.lowest, 3)} at step {count_text(first.step)} to "
        f"{number_text(first.end, 3)} at the end. Whether that is overfitting is not known: how training went on was "
        "not recorded."
    )
    return Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence, numbers, tuple(one.trial.id for one in found))


def _others_overfit(
    evidence: Evidence, found: Sequence[Overfit], looked_at: Sequence[Trial], numbers: Mapping[str, float]
) -> Finding:
    sentences = [
        f"The best trials do not overfit, but {len(found)} of all {count_text(len(looked_at))} trials "
        f"{form_for(len(found), 'does', 'do')} ({trials_text([one.trial for one in found])}): choosing "
        "the best favours configurations that regularize more.",
        *_qualifications(evidence, found, looked_at),
    ]
    trials = tuple(one.trial.id for one in found)
    proposal = more_regularization(evidence)
    return Finding(RULE, QUESTION, Status.LOOK, " ".join(sentences), numbers, trials, proposal=proposal)


def _qualifications(evidence: Evidence, found: Sequence[Overfit], looked_at: Sequence[Trial]) -> list[str]:
    """What else may be behind it."""
    sentences = []
    overfit = {one.trial.id for one in found}
    rates = [(trial.id in overfit, number_of(trial, "learning_rate")) for trial in looked_at]
    having = np.array([rate for is_overfit, rate in rates if is_overfit and rate is not None])
    free = np.array([rate for is_overfit, rate in rates if not is_overfit and rate is not None])
    if len(having) >= 3 and len(free) >= 3 and np.mean(free[:, None] < having) >= _CHANCES_TO_BE_SMALLER:
        sentences.append(
            f"The trials free of it have smaller learning rates (median {number_text(float(np.median(free)), 2)} "
            f"against {number_text(float(np.median(having)), 2)}): a small learning rate regularizes by hobbling "
            "training, which is no way to choose it."
        )
    if (left := _left_of_training(evidence, looked_at)) is not None and left > _IS_FIT:
        sentences.append(
            f"No trial fits the training set (the best leaves {left:.0%} of its {evidence.objective.metric} at the "
            "start), so that regularization may help little."
        )
    return sentences


def _left_of_training(evidence: Evidence, trials: Sequence[Trial]) -> float | None:
    """What the best-fitting trial leaves of the training metric's value at the start; None where that is not known."""
    stacks = [stack for stack in evaluated(evidence, trials, TRAIN) if stack.values.shape[1] >= MIN_POINTS]
    starts = [stack.values[:, 0] for stack in stacks]
    shares = [
        stack.values.min(axis=1)[start > 0] / start[start > 0] for stack, start in zip(stacks, starts, strict=True)
    ]
    shares = [share for share in shares if len(share)]
    return max(0.0, float(min(share.min() for share in shares))) if shares else None
