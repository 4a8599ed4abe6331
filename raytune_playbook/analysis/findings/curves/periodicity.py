"""Do validation metrics or the training loss have a period, and do training and validation overlap? (Rule IN10.)

See the playbook's "Examining the training curves", and "Evaluation during training": a period is probably a bug of
shuffling, or an overlap of the splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.looked_at import VALIDATION, completed, no_curves, number_of
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.series.curves import Curve, TrialCurves
from raytune_playbook.analysis.series.spectrum import Period, strongest_period
from raytune_playbook.analysis.series.stacks import Stack, evaluated, stacked, training_loss
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.records.columns import LOSS

RULE, QUESTION = "IN10", "Do metrics go up and down with a period, and do training and validation overlap?"

LEVEL = 0.001
"""The probability that chance alone raises an alarm, over all metrics together."""

_MOST_STEPS = 4096
"""Of longer trainings the means over runs of steps are tested, not the steps."""

_MOST_TRIALS = 200
"""Of so many trials the single steps are tested; they saw the same batches."""


@dataclass(frozen=True)
class _Series:
    """What was tested, how sentences call it, and what came out.

    Fields:
        interval_steps: from one point to the next.
        epoch_steps: of the trials; None where that is not known.
    """

    name: str
    trials: tuple[Trial, ...]
    interval_steps: float
    epoch_steps: float | None
    period: Period

    @property
    def period_steps(self) -> float:
        return self.interval_steps * self.period.points

    @property
    def is_epoch(self) -> bool:
        """Whether its frequency is that of epochs, or what evaluations that are rarer than epochs make of it."""
        if not self.epoch_steps:
            return False
        per_point = self.interval_steps / self.epoch_steps
        seen = abs(per_point - round(per_point))
        found = 1 / self.period.points
        return abs(seen - found) <= self.period.resolution * found


def periodicity(evidence: Evidence) -> Sequence[Finding]:
    """Tests the mean of all trials' curves, then looks at what is known of overlaps."""
    trials = completed(evidence)
    series = [*_of_validation(evidence, trials), *_of_training(evidence, trials)]
    found = [one for one in series if one.period.probability * len(series) < LEVEL]
    findings = [_periodic(found)] if found else []
    findings += [_overlap(sentence) for sentence in (evidence.examples and evidence.examples.overlaps) or ()]
    return findings or [_nothing(evidence, series)]


# ---------------------------------------------------------------------- what is tested


def _of_validation(evidence: Evidence, trials: Sequence[Trial]) -> Iterator[_Series]:
    metrics = [None] if evidence.objective.metric == LOSS else [None, LOSS]
    for metric in metrics:
        name = f"validation {metric or evidence.objective.metric}"
        for stack in evaluated(evidence, trials, VALIDATION, metric):
            yield from _tested(evidence, name, stack)


def _of_training(evidence: Evidence, trials: Sequence[Trial]) -> Iterator[_Series]:
    curves = [(trial, evidence.curves[trial.id]) for trial in trials if trial.id in evidence.curves]
    whole = [(trial, loss) for trial, of_trial in curves if (loss := _all_steps(of_trial)) is not None]
    if len(whole) == len(curves):
        losses = whole[:_MOST_TRIALS]
    else:
        losses = [(trial, loss) for trial, of_trial in curves if (loss := training_loss(of_trial)) is not None]
    for stack in stacked(losses):
        yield from _tested(evidence, "the training loss", stack)


def _all_steps(curves: TrialCurves) -> Curve | None:
    """The loss of every step, where the curve is not thinned; None where it is, or training was long."""
    loss, digest = curves.steps.get(LOSS), curves.digests.get(LOSS)
    is_whole = loss is not None and digest is not None and len(loss.steps) == digest.num_steps <= _MOST_STEPS
    return loss if is_whole else None


def _tested(evidence: Evidence, name: str, stack: Stack) -> Iterator[_Series]:
    """The same for each batch size, with which the length of epochs changes."""
    intervals = np.diff(stack.steps)
    even = int(np.argmax(intervals != intervals[0])) if len(intervals) and (intervals != intervals[0]).any() else None
    if len(intervals) < 2 or (even is not None and even < len(intervals) - 1):
        return  # the last evaluation may come early; more than that is no even spacing
    values = stack.values if even is None else stack.values[:, :-1]
    batch_sizes = np.array([number_of(trial, "batch_size") or 0.0 for trial in stack.trials])
    for batch_size in np.unique(batch_sizes):
        rows = np.flatnonzero(batch_sizes == batch_size)
        if (period := strongest_period(values[rows])) is not None:
            num = None if evidence.examples is None else evidence.examples.num_examples.get("train")
            epoch = num / float(batch_size) if num and batch_size else None
            yield _Series(name, tuple(stack.trials[row] for row in rows), float(intervals[0]), epoch, period)


# ---------------------------------------------------------------------- in words


def _periodic(found: Sequence[_Series]) -> Finding:
    of_validation = [one for one in found if one.name.startswith(VALIDATION)]
    first = min(of_validation or found, key=lambda one: (not one.is_epoch, one.period.probability))
    names = " and ".join(dict.fromkeys(one.name for one in found))
    every = f"every {count_text(round(first.period_steps))} steps"
    if first.is_epoch and first.epoch_steps:
        every += f", in time with the epochs of {count_text(round(first.epoch_steps))} steps"
    verb = "goes" if len({one.name for one in found}) == 1 else "go"
    sentence = f"{names[0].upper()}{names[1:]} {verb} up and down {every}, over {count_text(len(first.trials))} trials "
    sentence += f"together (by chance in {first.period.probability:.1g} of rounds)."
    if of_validation:
        sentence += " That is probably a bug: examples that are not shuffled, or splits that overlap."
        advice = "Look at the order in which examples come, and at whether training and validation share some."
    else:
        sentence += " Examples may not be shuffled; where the period is an epoch, memorized examples make it as well."
        advice = "Look at the order in which examples come."
    numbers = {"period_steps": first.period_steps, "probability_by_chance": first.period.probability}
    if first.epoch_steps:
        numbers["epoch_steps"] = first.epoch_steps
    status = Status.PROBLEM if of_validation else Status.LOOK
    ids = tuple(trial.id for trial in first.trials[:5])
    return Finding(RULE, QUESTION, status, sentence, numbers, ids, proposal=Proposal(advice))


def _overlap(sentence: str) -> Finding:
    is_judged_by = "train" in sentence and VALIDATION in sentence
    status = Status.PROBLEM if is_judged_by else Status.LOOK
    advice = Proposal("Divide the examples so that no two splits share any, and run again.")
    return Finding(RULE, QUESTION, status, sentence, proposal=advice)


def _nothing(evidence: Evidence, series: Sequence[_Series]) -> Finding:
    names = list(dict.fromkeys(one.name for one in series))
    parts = []
    is_validation_tested = any(name.startswith(VALIDATION) for name in names)
    is_recorded = any(evaluated(evidence, completed(evidence), VALIDATION))
    if not is_recorded:
        parts.append(no_curves(RULE, QUESTION, evidence).sentence)
    elif not is_validation_tested:
        parts.append("The evaluations are too few, or not evenly spaced, to show a period (about 30 would be needed).")
    if names:
        listed = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        parts.append(f"There is no period in {listed}.")
    examples = evidence.examples
    if examples is None or examples.overlaps is None:
        looks = "; `raytune-playbook preprocess` looks for it" if examples and evidence.is_planned_here else ""
        parts.append(f"Whether training and validation overlap was not looked for{looks}.")
    else:
        parts.append("Training and validation do not overlap.")
    numbers = {"smallest_probability": min((one.period.probability for one in series), default=1.0)}
    status = Status.PASSES if is_validation_tested else Status.CANNOT_TELL
    return Finding(RULE, QUESTION, status, " ".join(parts), numbers)
