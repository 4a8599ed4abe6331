"""Does training wait for its input? (Rule PI1.)

See the playbook's "Optimizing the input pipeline"; `raytune_playbook.analysis.input_pipeline` has the measure.
"""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Status
from raytune_playbook.analysis.input_pipeline import input_bound, of_round

RULE, QUESTION = "PI1", "Does training wait for its input?"


def waiting(evidence: Evidence) -> Sequence[Finding]:
    """Looks at where the time of training steps went."""
    time = of_round(evidence.trials)
    if time is None:
        sentence = "Where the time of training steps goes was not recorded."
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence)]
    bound = input_bound(evidence.trials, evidence.examples)
    if bound is None:
        sentence = f"Training hardly waits for its input: {time.input_share:.1%} of the steps' time."
        return [Finding(RULE, QUESTION, Status.PASSES, sentence, {"input_share": time.input_share})]
    studies = () if bound.study is None else (bound.study,)
    numbers = {"input_share": bound.time.input_share, "step_ms": bound.time.mean_ms()}
    return [Finding(RULE, QUESTION, Status.LOOK, bound.sentence, numbers, studies=studies)]
