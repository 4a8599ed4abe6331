"""Were trials stopped before their training was over? (Rule CK4.)

A trial that a scheduler or pruner has stopped was judged at another step than the rest. It breaks what needs whole
curves: the best step, the end of training, and another objective after the fact. Nor are values compared by what they
are worth where the best trial of one was stopped, or most of its trials were.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.analysis.wording import form_for
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.wording import values_text

RULE, QUESTION = "CK4", "Were trials stopped before their training was over?"

SHORT = 0.9
"""A trial of fewer than this share of the steps was stopped; an early end by a step or two is a matter of counting."""

MOST_STOPPED = 0.5
"""Where more than this share of a value's completed trials was stopped, it was not compared with the others."""


def stopped_early(evidence: Evidence) -> Sequence[Finding]:
    """Looks at how far each trial was trained that counts as completed."""
    lengths = {study.name: study.max_train_steps for study in evidence.studies}
    completed = [trial for trial in evidence.first_runs if trial.outcome is Outcome.COMPLETED]
    steps = {trial.id: _num_steps(evidence, trial) for trial in completed}
    if not any(steps.values()) and not any(trial.is_stopped_early for trial in completed):
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, "How far trials were trained was not recorded.")]
    short = [trial for trial in completed if _is_short(trial, steps[trial.id], lengths.get(trial.study, 0))]
    if not short:
        all_of = (
            "The only completed trial was" if len(completed) == 1 else f"All {len(completed)} completed trials were"
        )
        sentence = f"{all_of} trained to the end."
        return [Finding(RULE, QUESTION, Status.PASSES, sentence)]
    numbers = {"num_stopped": len(short), "share_stopped": len(short) / len(completed)}
    stopped = f"{len(short)} of {len(completed)} trials {form_for(len(short), 'was', 'were')} stopped early"
    hidden = _what_it_hides(evidence, {trial.id for trial in short})
    consequence = hidden or (
        f". What {form_for(len(short), 'it', 'they')} would have come to is not known, and questions about best steps "
        "and the end of training look at the others alone."
    )
    return [
        Finding(
            RULE,
            QUESTION,
            Status.PROBLEM if hidden else Status.LOOK,
            f"{stopped}{consequence}",
            numbers,
            trials=tuple(trial.id for trial in short),
            withholds=hidden is not None,
            proposal=Proposal("Train all trials to their end, without a scheduler or pruner that stops some."),
        )
    ]


def _is_short(trial: Trial, num_steps: int | None, length: int) -> bool:
    return trial.is_stopped_early if num_steps is None else num_steps < SHORT * length


def _what_it_hides(evidence: Evidence, short: Collection[TrialId]) -> str | None:
    """The end of the sentence where the values that are compared cannot be told apart for it; else None."""
    if len(evidence.arms) < 2:
        return None
    if of_best := [arm for arm in evidence.arms if arm.best and arm.best.id in short]:
        return f", the best one of {_named(of_best)} among them, so what the values are worth is not known."
    num_stopped = [sum(trial.id in short for trial in arm.ranked) for arm in evidence.arms]
    mostly = [
        (arm, number)
        for arm, number in zip(evidence.arms, num_stopped, strict=True)
        if number > MOST_STOPPED * len(arm.ranked)
    ]
    if not mostly:
        return None
    arm, number = max(mostly, key=lambda pair: pair[1] / len(pair[0].ranked))
    return f", of {_named([arm])} {number} of {len(arm.ranked)}: what most would have come to is not known."


def _named(arms: Sequence[Arm]) -> str:
    return (values_text(arms[0].values) or arms[0].study) if len(arms) == 1 else f"{len(arms)} values"


def _num_steps(evidence: Evidence, trial: Trial) -> int | None:
    if trial.training is not None:
        return trial.training.num_steps
    curves = evidence.curves.get(trial.id)
    ends = [int(curve.steps[-1]) for curve in curves.evaluations.values() if len(curve.steps)] if curves else []
    return max(ends, default=None)
