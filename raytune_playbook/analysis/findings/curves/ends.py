"""Are trials still improving at the end of training, or saturated long before it? (Rules IN8 and LN1.)

See the playbook's "Examining the training curves" and "Determining the number of steps for each training run".
"""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.looked_at import (
    VALIDATION,
    arm_text,
    best_few,
    ends_at_target,
    no_curves,
    share_text,
    too_few_evaluations,
)
from raytune_playbook.analysis.findings.curves.training_length import (
    EARLY_SHARE,
    End,
    TrainingLength,
    longer,
    shorter,
    training_length,
)
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.series.noise import MIN_POINTS
from raytune_playbook.analysis.series.stacks import evaluated
from raytune_playbook.analysis.trials import TrialId

RULE, QUESTION = "IN8", "Are the best trials still improving at the end, or saturated long before it?"


def training_ends(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the best few trials of every arm, on average."""
    if (finding := ends_at_target(RULE, QUESTION, evidence)) is not None:
        return [finding]
    length = training_length(evidence)
    if not length.ends:
        stacks = evaluated(evidence, [trial for arm in evidence.arms for trial in best_few(arm)], VALIDATION)
        if stacks:
            return [too_few_evaluations(RULE, QUESTION, stacks, MIN_POINTS)]
        return [no_curves(RULE, QUESTION, evidence)]
    numbers = {
        "num_improving": float(len(length.improving)),
        "num_values": float(len(length.ends)),
        "largest_gain_share": max(end.gain for end in length.ends),
        "saturated_share": max(end.saturated_share for end in length.ends),
    }
    if length.improving:
        return [_improving(evidence, length, numbers)]
    if length.is_saturated:
        return [_saturated(evidence, length, numbers)]
    sentence = (
        f"The best trials no longer improve at the end; from {numbers['saturated_share']:.0%} of training on they stay "
        "as they are. So training is probably not compute-bound."
    )
    if length.decays:
        sentence += " The learning rate decays, which flattens the end: only a longer run would show more."
    return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers)]


def _improving(evidence: Evidence, length: TrainingLength, numbers: dict[str, float]) -> Finding:
    most = max(length.improving, key=lambda end: end.gain)
    where = "" if len(length.ends) == 1 else f" of {_names(length.improving)}"
    gain = f"{evidence.objective.name} gets better by {share_text(evidence, most.gain)}"
    when = "before the decay" if most.is_before_decay else "at the end"
    over = (
        f"{most.share:.0%} of training just before that" if most.is_before_decay else f"the last {most.share:.0%} of it"
    )
    found = f"The best trials{where} still improve {when} of training: {gain} over {over}"
    trials = tuple(trial.id for end in length.improving for trial in end.trials)
    if length.asks_for_fewer:
        sentence = (
            f"{found}. But most trials were best within the first {EARLY_SHARE:.0%}, so that whether more steps or "
            "fewer are needed is not clear: look at the curves."
        )
        return Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence, numbers, trials)
    if length.decays:
        sentence = (
            f"{found}. A part of that is what the end of a decay brings to training of any length, so only longer runs "
            "of a few good points show whether more steps help."
        )
    else:
        sentence = f"{found}, so training is probably compute-bound, and longer training would do better."
    studies = tuple(dict.fromkeys(end.arm.study for end in length.improving))
    return Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, trials, studies, proposal=longer(evidence, length))


def _saturated(evidence: Evidence, length: TrainingLength, numbers: dict[str, float]) -> Finding:
    is_training_known = all(end.is_training_known for end in length.ends)
    what = "Training and validation are" if is_training_known else "Validation is"
    found = (
        f"{what} saturated long before the end: from {numbers['saturated_share']:.0%} of training "
        "on the best trials stay as they are"
    )
    trials: tuple[TrialId, ...] = tuple(trial.id for end in length.ends for trial in end.trials)
    if length.asks_for_more:
        sentence = (
            f"{found}. But most trials were best in the last quarter, so that whether fewer steps or more are needed "
            "is not clear: look at the curves."
        )
        return Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence, numbers, trials)
    sentence = f"{found}, so training is not compute-bound."
    if not is_training_known:
        sentence = f"{found}. Whether training is saturated as well was not recorded, so fewer steps may do or may not."
        return Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence, numbers, trials)
    return Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, trials, proposal=shorter(evidence, length))


def _names(ends: Sequence[End]) -> str:
    return ", ".join(arm_text(end.arm) for end in ends[:3]) + (f" and {len(ends) - 3} more" if len(ends) > 3 else "")
