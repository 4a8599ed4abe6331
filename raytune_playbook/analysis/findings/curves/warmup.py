"""Is the warmup long for the training it leads to? (Rule UN5.)

See the playbook's "Learning rate warmup": "if long warmup_steps are required for stable training (>5% of
max_train_steps), you might need to increase max_train_steps to account for this".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import TrainSteps
from raytune_playbook.analysis.findings.curves.looked_at import WARMUP_SHARE, best_of_arms, no_curves, number_of
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.wording import count_text

RULE, QUESTION = "UN5", "Is the warmup short, compared with training?"


def warmup(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the best trial of every arm."""
    best = best_of_arms(evidence)
    if not best:
        return [no_curves(RULE, QUESTION, evidence)]
    max_train_steps = max(study.max_train_steps for study in evidence.studies)
    known = [(steps, trial) for trial in best if (steps := number_of(trial, "warmup_steps")) is not None]
    if not known:
        sentence = "How long the learning rate is warmed up was not recorded."
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence)]
    steps, trial = max(known, key=lambda one: one[0])
    share = steps / max_train_steps
    numbers = {"warmup_steps": steps, "warmup_share": share}
    if steps == 0:
        return [Finding(RULE, QUESTION, Status.PASSES, "The best trials have no warmup.", numbers)]
    if share > 1:
        sentence = (
            f"The warmup of {trial.text} takes {count_text(round(steps))} steps, but no more than "
            f"{count_text(max_train_steps)} steps of training were recorded: what share of it the warmup takes is not "
            "known."
        )
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence, numbers, (trial.id,))]
    found = f"The warmup of {trial.text} takes {count_text(round(steps))} steps, {share:.1%} of max_train_steps"
    if share <= WARMUP_SHARE:
        return [Finding(RULE, QUESTION, Status.PASSES, f"{found}.", numbers, (trial.id,))]
    needed = math.ceil(steps / WARMUP_SHARE)
    sentence = f"{found}, more than {WARMUP_SHARE:.0%}: if it has to be that long, train for more steps."
    proposal = Proposal(f"Train for {count_text(needed)} steps after the warmup.", (TrainSteps(needed),))
    return [Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, (trial.id,), (trial.study,), proposal=proposal)]
