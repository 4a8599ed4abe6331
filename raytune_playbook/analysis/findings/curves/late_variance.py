"""Does the error vary from evaluation to evaluation late in training? (Rule IN7.)

See the playbook's "Examining the training curves": each trial then ends on a lucky or an unlucky step, which interferes
with comparisons and with reproducing the best trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Change, Fix
from raytune_playbook.analysis.findings.curves.looked_at import (
    TRAIN,
    VALIDATION,
    best_few,
    best_of_arms,
    fixed_values,
    is_fixed,
    no_curves,
    num_examples,
    share_text,
    too_few_evaluations,
    wrong_examples,
)
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.series.noise import MIN_POINTS, step_to_step
from raytune_playbook.analysis.series.stacks import evaluated
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import number_text

RULE, QUESTION = "IN7", "Does the error vary much from step to step late in training?"

HIGH = 0.05
"""A standard deviation from step to step of less than this share of the metric is not high."""

_FEWEST_BENDS = 6
"""An estimate from fewer triples of evaluations is none."""


@dataclass(frozen=True)
class LateVariance:
    """What varies from one evaluation to the next over the last quarter of training, trials' mean square.

    Fields:
        deviation: the standard deviation.
        level: the metric's size there.
        num_bends: triples of evaluations that it is estimated from.
    """

    deviation: float
    level: float
    num_bends: int

    @property
    def share(self) -> float:
        return self.deviation / self.level if self.level > 0 else 0.0


def late_variance(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the best few trials of every arm together."""
    trials = [trial for arm in evidence.arms for trial in best_few(arm)]
    stacks = evaluated(evidence, trials, VALIDATION)
    if not stacks:
        return [no_curves(RULE, QUESTION, evidence)]
    found = variance_of(evidence, trials, VALIDATION)
    if found is None:
        return [too_few_evaluations(RULE, QUESTION, stacks, MIN_POINTS)]
    luck, decided_by = 2**0.5 * found.deviation, _decided_by(evidence)
    numbers = {"step_to_step_deviation": found.deviation, "share_of_metric": found.share, "luck": luck}
    if decided_by is not None:
        numbers["difference"] = decided_by
    metric = evidence.objective.metric
    varies = f"Late in training the {metric} on validation varies by {number_text(found.deviation, 2)} from one "
    varies += f"evaluation to the next ({share_text(evidence, found.share)})"
    if not _is_high(evidence, trials, found):
        few = ", less than one example" if found.share > HIGH else ""
        return [Finding(RULE, QUESTION, Status.PASSES, f"{varies}{few}: that is little.", numbers)]
    if decided_by is not None and luck < decided_by:
        sentence = (
            f"{varies}, which is much; but the answer rests on a difference of {number_text(decided_by, 2)}, which "
            f"luck of {number_text(luck, 2)} in when trials end does not make."
        )
        return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers)]
    against = "" if decided_by is None else f", and the answer rests on a difference of {number_text(decided_by, 2)}"
    sentence = f"{varies}{against}, so that which trial is best is partly luck. {_cause(evidence, trials, found)}"
    ids = tuple(trial.id for trial in best_of_arms(evidence))
    return [Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, ids, proposal=_remedy(evidence))]


def variance_of(evidence: Evidence, trials: Sequence[Trial], split: str) -> LateVariance | None:
    """Over the last quarter of these trials' evaluations of the objective's metric; None where they are too few."""
    squares, levels, num_bends = [], [], 0
    for stack in evaluated(evidence, trials, split):
        num_points = stack.values.shape[1]
        if num_points < MIN_POINTS:
            continue
        late = stack.values[:, -max(5, num_points // 4) :]
        squares += (step_to_step(late) ** 2).tolist()
        levels += np.abs(late).mean(axis=1).tolist()
        num_bends += len(late) * (late.shape[1] - 2)
    if num_bends < _FEWEST_BENDS:
        return None
    return LateVariance(float(np.sqrt(np.mean(squares))), float(np.mean(levels)), num_bends)


def _is_high(evidence: Evidence, trials: Sequence[Trial], found: LateVariance) -> bool:
    """Whether it is more than a small share of the metric, and more than one validation example."""
    stacks = evaluated(evidence, trials[:1], VALIDATION)
    num = num_examples(evidence, trials[0], VALIDATION)
    is_counted = any(wrong_examples(evidence, stack) is not None for stack in stacks)
    return found.deviation > HIGH * found.level and not (num and is_counted and found.deviation <= 1 / num)


def _decided_by(evidence: Evidence) -> float | None:
    """The difference that the answer rests on: between the best values, else between the best trial and the middle of
    the best quarter; None with a single trial."""
    best = sorted(_judged(best_of_arms(evidence)), reverse=evidence.objective.goal == "maximize")
    if len(best) > 1:
        return abs(best[1] - best[0])
    quarter = _judged(evidence.ranked)[: max(3, len(evidence.ranked) // 4)]
    return abs(quarter[len(quarter) // 2] - quarter[0]) if len(quarter) > 1 else None


def _judged(trials: Sequence[Trial]) -> list[float]:
    return [trial.objective for trial in trials if trial.objective is not None]


def _cause(evidence: Evidence, trials: Sequence[Trial], found: LateVariance) -> str:
    """Which of the playbook's causes the training metric points at."""
    in_training = variance_of(evidence, trials, TRAIN)
    if in_training is None:
        return "The batches, a small validation set, or a learning rate that is too high at the end may be the cause."
    if in_training.deviation >= found.deviation / 2:
        return "On training examples it varies as well: the batches, or the learning rate at the end, are the cause."
    return "On training examples it varies far less: the validation set is small for such differences."


def _remedy(evidence: Evidence) -> Proposal:
    """The playbook's remedies, as far as they are to be had: decay first, for it costs nothing."""
    schedules, averages = fixed_values(evidence, "schedule"), fixed_values(evidence, "averaging")
    others = "a larger batch (with the optimizer tuned again) or more validation data helps, too"
    changes: tuple[Change, ...] = ()
    if is_fixed(evidence, "schedule") and schedules == {"constant"}:
        changes = (Fix("schedule", "cosine"),)
        sentence = "Let the learning rate decay (schedule cosine)"
        if averages == {"none"}:
            others = f"Polyak averaging (averaging exponential), {others}"
    elif is_fixed(evidence, "averaging") and averages == {"none"}:
        changes = (Fix("averaging", "exponential"),)
        sentence = "Average the weights (Polyak averaging: averaging exponential), and look at the averaged curves"
    else:
        sentence = "Use a larger batch (with the optimizer tuned again), or more validation data"
        others = "a decay of the learning rate and Polyak averaging help, too, where they are not used yet"
    return Proposal(f"{sentence}; {others}.", changes)
