"""Were trials stopped before their training was over? (Rule CK4.)

A trial that a scheduler or pruner has stopped was judged at another step than the rest. It breaks what needs whole
curves: the best step, the end of training, and another objective after the fact.
"""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome

RULE, QUESTION = "CK4", "Were trials stopped before their training was over?"

SHORT = 0.9
"""A trial of fewer than this share of the steps was stopped; an early end by a step or two is a matter of counting."""


def stopped_early(evidence: Evidence) -> Sequence[Finding]:
    """Looks at how far each trial was trained that counts as completed."""
    lengths = {study.name: study.max_train_steps for study in evidence.studies}
    completed = [trial for trial in evidence.first_runs if trial.outcome is Outcome.COMPLETED]
    steps = {trial.id: _num_steps(evidence, trial) for trial in completed}
    if not any(steps.values()):
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, "How far trials were trained was not recorded.")]
    short = [
        trial
        for trial in completed
        if (number := steps[trial.id]) is not None and number < SHORT * lengths.get(trial.study, 0)
    ]
    if not short:
        return [
            Finding(RULE, QUESTION, Status.PASSES, f"All {len(completed)} completed trials were trained to their end.")
        ]
    share = len(short) / len(completed)
    return [
        Finding(
            RULE,
            QUESTION,
            Status.LOOK,
            f"{len(short)} of {len(completed)} trials were stopped early. What they would have come to is not known, "
            "and questions about best steps and the end of training look at the others alone.",
            {"num_stopped": len(short), "share_stopped": share},
            trials=tuple(trial.id for trial in short),
            proposal=Proposal("Train all trials to their end, without a scheduler or pruner that stops some."),
        )
    ]


def _num_steps(evidence: Evidence, trial: Trial) -> int | None:
    if trial.training is not None:
        return trial.training.num_steps
    curves = evidence.curves.get(trial.id)
    ends = [int(curve.steps[-1]) for curve in curves.evaluations.values() if len(curve.steps)] if curves else []
    return max(ends, default=None)
