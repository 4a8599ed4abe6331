"""Does training loss rise? (Rule IN9.)

See the playbook's "Examining the training curves": "training loss increasing during training usually indicates a bug in
the training pipeline". A learning rate that is too large makes it rise as well, which is another matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.looked_at import (
    best_of_arms,
    completed,
    no_curves,
    number_of,
    too_few_evaluations,
    trials_text,
)
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.series.noise import MIN_POINTS, rise
from raytune_playbook.analysis.series.stacks import Stack, stacked, training_loss
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import count_text, form_for, number_text

RULE, QUESTION = "IN9", "Does training loss rise during training?"

MIN_RISE = 0.05
"""Of what the loss had fallen; a rise of less is within what batches differ by."""

SIGNIFICANT = 4.0
"""Standard errors by which the rise exceeds noise; all trials are looked at."""


_MANY = 0.1
"""From this share of trials on it is a problem, as it is in a best trial."""


@dataclass(frozen=True)
class _Risen:
    """A trial whose training loss rises: its lowest, the step of that, and the loss at the end."""

    trial: Trial
    lowest: float
    step: int
    end: float


def rising_loss(evidence: Evidence) -> Sequence[Finding]:
    """Looks at all completed trials; those that diverged are infeasible for that very reason."""
    trials = completed(evidence)
    losses = [(trial, loss) for trial in trials if (loss := training_loss(evidence.curves.get(trial.id))) is not None]
    all_stacks = stacked(losses)
    stacks = [stack for stack in all_stacks if stack.values.shape[1] >= MIN_POINTS]
    looked_at = [trial for stack in stacks for trial in stack.trials]
    if not looked_at and all_stacks:
        return [too_few_evaluations(RULE, QUESTION, all_stacks, MIN_POINTS)]
    if not looked_at:
        return [no_curves(RULE, QUESTION, evidence, "Training losses")]
    risen = [one for stack in stacks for one in _risen(stack)]
    numbers = {"num_rising": float(len(risen)), "num_trials": float(len(looked_at))}
    if not risen:
        sentence = f"The training loss rises in none of {count_text(len(looked_at))} completed trials."
        return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers)]
    return [_finding(evidence, risen, looked_at, numbers)]


def _risen(stack: Stack) -> list[_Risen]:
    found = rise(stack.values)
    fallen = np.maximum(stack.values[:, 0] - found.lowest, np.abs(found.lowest))
    rises = (found.significance > SIGNIFICANT) & (found.end - found.lowest >= MIN_RISE * fallen)
    return [
        _Risen(stack.trials[row], float(found.lowest[row]), int(stack.steps[found.place[row]]), float(found.end[row]))
        for row in np.flatnonzero(rises)
    ]


def _finding(
    evidence: Evidence, risen: Sequence[_Risen], looked_at: Sequence[Trial], numbers: dict[str, float]
) -> Finding:
    rank = {trial.id: place for place, trial in enumerate(evidence.ranked)}
    risen = sorted(risen, key=lambda one: rank.get(one.trial.id, len(rank)))
    ids = tuple(one.trial.id for one in risen)
    too_large = _rate_that_is_too_large(evidence, risen, looked_at)
    if too_large is not None:
        name, rate = too_large
        from_on = form_for(
            len(risen),
            f"with a {name} of {number_text(rate, 3)}",
            f"all of them with a {name} from {number_text(rate, 3)} on",
        )
        sentence = (
            f"The training loss rises in {len(risen)} of {count_text(len(looked_at))} completed trials "
            f"({trials_text([one.trial for one in risen])}), {from_on}, above those of the best: the cause is "
            "optimization, not the pipeline."
        )
        return Finding(RULE, QUESTION, Status.PASSES, sentence, numbers | {"learning_rate": rate}, ids)
    first = risen[0]
    sentence = (
        f"The training loss rises in {len(risen)} of {count_text(len(looked_at))} completed trials, whatever their "
        f"learning rates: in {first.trial.text} from {number_text(first.lowest, 3)} at step {count_text(first.step)} "
        f"to {number_text(first.end, 3)} at the end. That is usually a bug in the training pipeline."
    )
    advice = (
        "Look for it before the next study: what changes over training, such as the order of examples, augmentation, a "
        "schedule, or a loss with a wrong sign?"
    )
    is_best = any(one.trial.id in {trial.id for trial in best_of_arms(evidence)} for one in risen)
    is_problem = is_best or len(risen) >= _MANY * len(looked_at)
    status = Status.PROBLEM if is_problem else Status.LOOK
    return Finding(RULE, QUESTION, status, sentence, numbers, ids, withholds=is_problem, proposal=Proposal(advice))


def _rate_that_is_too_large(
    evidence: Evidence, risen: Sequence[_Risen], looked_at: Sequence[Trial]
) -> tuple[str, float] | None:
    """The smallest learning rate of the trials whose loss rises, where the best trials and most others have smaller
    ones; else the same of the step that momentum adds up to. None where neither tells them apart."""
    for name, rate_of in (("learning rate", _learning_rate), ("learning_rate / (1 - momentum)", _summed_rate)):
        rate = _smallest_above_the_best(rate_of, evidence, risen, looked_at)
        if rate is not None:
            return name, rate
    return None


def _learning_rate(trial: Trial) -> float | None:
    return number_of(trial, "learning_rate")


def _summed_rate(trial: Trial) -> float | None:
    """What a constant gradient moves a weight by at each step, once momentum has built up."""
    rate, momentum = number_of(trial, "learning_rate"), number_of(trial, "momentum")
    return None if rate is None or momentum is None or momentum >= 1 else rate / (1 - momentum)


def _smallest_above_the_best(
    rate_of: Callable[[Trial], float | None], evidence: Evidence, risen: Sequence[_Risen], looked_at: Sequence[Trial]
) -> float | None:
    ids = {one.trial.id for one in risen}
    rates = [(trial.id in ids, rate_of(trial)) for trial in looked_at]
    rising = np.array([rate for is_rising, rate in rates if is_rising and rate is not None])
    others = np.array([rate for is_rising, rate in rates if not is_rising and rate is not None])
    best = [rate_of(trial) for trial in best_of_arms(evidence)]
    if not len(others) or len(rising) < len(risen) or any(rate is None or rate >= rising.min() for rate in best):
        return None
    return float(rising.min()) if float(np.mean(others < rising.min())) >= 0.75 else None
