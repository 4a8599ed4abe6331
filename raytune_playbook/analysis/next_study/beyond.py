"""Advice beyond the playbook: marked as such, for a person to take or leave, and never against what the playbook asks.

It changes no job file. Each piece stands beside the finding that gave rise to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Change, Fix, SearchOver
from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.study.hyperparameters.known import usual_name

SCHEDULE_AFTER_WEIGHT_DECAY = (
    "Beyond the playbook: what weight decay does depends on the learning rate at every step, so after a change of it "
    "tune the schedule again, too: decay_steps and final_factor beside the learning rate."
)

SCHEDULE_FREE = (
    "Beyond the playbook: a schedule-free optimizer has no decay whose end hides whether more steps help; if you try "
    "one, then as a value of a scientific hyperparameter, beside the optimizer of now and with a learning rate of its "
    "own, and not in its place."
)

_SCHEDULE = frozenset({"schedule", "decay_steps", "final_factor"})


def beyond_the_playbook(
    evidence: Evidence, changes: Sequence[tuple[Change, Finding]], asking: Sequence[Finding]
) -> Iterator[tuple[str, Finding]]:
    """Sentences, each with the finding that gave rise to it; none where the learning rate stays as it is.

    Args:
        evidence: of the round.
        changes: that the next study makes, each with the finding that asks for it.
        asking: the findings whose proposals count.
    """
    if not any(study.fixed.get("schedule", "constant") != "constant" for study in evidence.studies):
        return
    searched = {usual_name(name) for study in evidence.studies for name in (*study.space, *study.arm)}
    for change, finding in changes:
        if isinstance(change, SearchOver | Fix) and usual_name(change.name) == "weight_decay":
            if not searched & _SCHEDULE:
                yield SCHEDULE_AFTER_WEIGHT_DECAY, finding
            break
    for finding in asking:
        # Beside a decay nobody knows what more steps bring: no change is proposed, but longer runs of a few points.
        if finding.rule == "IN8" and finding.is_open and finding.proposal and not finding.proposal.changes:
            yield SCHEDULE_FREE, finding
            break
