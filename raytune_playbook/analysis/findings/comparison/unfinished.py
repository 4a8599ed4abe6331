"""Have all trials ended? (Rule IN18.)"""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.wording import form_for

RULE, QUESTION = "IN18", "Have all trials ended?"


def unfinished(evidence: Evidence) -> Sequence[Finding]:
    """Counts the trials that are still to end."""
    planned = sum(study.num_trials for study in evidence.studies)
    ended = sum(trial.outcome is not None for trial in evidence.first_runs)
    if ended >= planned:
        return [
            Finding(
                RULE,
                QUESTION,
                Status.PASSES,
                f"{'The only trial has' if ended == 1 else f'All {ended:,} trials have'} ended.",
                {"num_ended": ended},
            )
        ]
    numbers = {"num_ended": ended, "num_planned": planned}
    sentence = f"{ended:,} of {planned:,} trials {form_for(ended, 'has', 'have')} ended; the "
    sentence += f"{form_for(planned - ended, 'other', 'others')} may still change the answer."
    proposal = Proposal("Let the trials that are left go on to their end.")
    return [Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, proposal=proposal)]
