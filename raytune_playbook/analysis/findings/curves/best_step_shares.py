"""When were trials best: was training long enough, or too long? (Rule IN14.)

See the playbook's "Deciding how long to train when training is not compute-bound".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.looked_at import VALIDATION, completed, ends_at_target
from raytune_playbook.analysis.findings.curves.overfitting import overfit_trials
from raytune_playbook.analysis.findings.curves.training_length import (
    EARLY_SHARE,
    FEWEST_TRIALS,
    LATE_SHARE,
    MOSTLY,
    TrainingLength,
    longer,
    shorter,
    training_length,
)
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.series.noise import MIN_POINTS
from raytune_playbook.analysis.series.stacks import evaluated
from raytune_playbook.analysis.wording import form_for

RULE, QUESTION = "IN14", "Is max_train_steps right, by the steps at which trials were best?"


def best_step_shares(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the better half of each arm's trials: a learning rate that is far too small makes any training seem too
    short."""
    if (finding := ends_at_target(RULE, QUESTION, evidence)) is not None:
        return [finding]
    length = training_length(evidence)
    if len(length.shares) < FEWEST_TRIALS:
        sentence = (
            f"The best steps of {len(length.shares)} trials (the better half of each study) are too few to tell "
            f"whether max_train_steps is right; {FEWEST_TRIALS} are needed."
        )
        if not length.shares and completed(evidence):
            sentence = "At which steps trials were best was not recorded."
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence)]
    shares = np.array(length.shares)
    numbers = {
        "num_trials": float(len(shares)),
        "median_share": float(np.median(shares)),
        "late_share": float(np.mean(shares > LATE_SHARE)),
        "early_share": float(np.mean(shares <= EARLY_SHARE)),
    }
    if length.is_late:
        found = f"{_of_better(shares > LATE_SHARE)} best in the last {1 - LATE_SHARE:.0%} of training"
        if length.asks_for_fewer:
            return [_unclear(f"{found}, but their curves are saturated long before", numbers)]
        also = ", as the end of a decay brings with it" if length.decays else ""
        sentence = f"{found}{also}: longer training, with its schedule tuned again, might do better."
        return [Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, proposal=longer(evidence, length))]
    if length.is_early:
        return [_early(evidence, length, numbers)]
    if length.decays and numbers["late_share"] >= MOSTLY:
        sentence = (
            f"{_of_better(shares > LATE_SHARE)} best in the last {1 - LATE_SHARE:.0%} of training, "
            "as is to be expected where the learning rate decays to its end; that alone does not ask for more steps."
        )
        return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers)]
    low, middle, high = np.quantile(shares, [0.25, 0.5, 0.75])
    sentence = (
        f"The better trials were best at {middle:.0%} of training (the median; half of them from {low:.0%} to "
        f"{high:.0%}): neither always in the first {EARLY_SHARE:.0%} nor, by more than noise, in the last "
        f"{1 - LATE_SHARE:.0%}."
    )
    return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers)]


def _early(evidence: Evidence, length: TrainingLength, numbers: dict[str, float]) -> Finding:
    found = f"{_of_better(np.array(length.shares) <= EARLY_SHARE)} best in the first {EARLY_SHARE:.0%} of training"
    if length.asks_for_more:
        return _unclear(f"{found}, but the best still improve at the end", numbers)
    stacks = [stack for stack in evaluated(evidence, completed(evidence), VALIDATION) if len(stack.steps) >= MIN_POINTS]
    num_overfit, num_trials = len(overfit_trials(evidence, stacks)), sum(len(stack.trials) for stack in stacks)
    if num_trials and num_overfit >= num_trials / 2:
        sentence = (
            f"{found}, because validation gets worse again afterwards, as it does by overfitting ({num_overfit} of "
            f"{num_trials} trials): regularize before max_train_steps is made smaller."
        )
        return Finding(RULE, QUESTION, Status.LOOK, sentence, numbers)
    sentence = f"{found}: max_train_steps is far too large."
    return Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, proposal=shorter(evidence, length))


def _of_better(are_so: npt.NDArray[np.bool_]) -> str:
    """``All 8 of the better trials were``, ``6 of the 8 better trials were``."""
    number, total = int(are_so.sum()), len(are_so)
    if number == total:
        return f"All {total} of the better trials were"
    return f"{number} of the {total} better trials {form_for(number, 'was', 'were')}"


def _unclear(found: str, numbers: dict[str, float]) -> Finding:
    sentence = f"{found}, so that whether more steps or fewer are needed is not clear: look at the curves."
    return Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence, numbers)
