"""Does anything that was tuned matter? (Rule IN19.)

Where nothing that was tuned explains the objective more than chance would, the search was for nothing: the values may
not be used, their ranges may be too narrow to tell, or the workload does not care. All arms together are asked once.
"""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.sampled.chance import LEVEL, by_chance
from raytune_playbook.analysis.sampled.points import groups_of

RULE = "IN19"
QUESTION = "Does anything that was tuned matter?"

MIN_POINTS = 12
"""With fewer points only the strongest effects would show, so that none showing means little."""


def matters(evidence: Evidence) -> Sequence[Finding]:
    """Whether what was tuned explains the objective more than chance would."""
    groups = [group for group in groups_of(evidence) if group.space]
    found = [chance for group in groups if (chance := by_chance(group)) is not None]
    if not found:
        sentence = "Too few points have ended, or all are equally good, so nothing tells what matters."
        return (Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence),)
    p_value = min(1.0, min(chance.p_value for chance in found) * len(found))
    num_points = max(chance.num_points for chance in found)
    hidden = min(chance.hidden_share for chance in found)
    numbers = {"p_value": p_value, "num_points": num_points, "hidden_share": hidden}
    names = ", ".join(dict.fromkeys(name for group in groups for name in group.space))
    if p_value <= LEVEL:
        sentence = f"What was tuned explains the objective: chance would do as well in {_percent(p_value)} of cases."
        return (Finding(RULE, QUESTION, Status.PASSES, sentence, numbers),)
    if num_points < MIN_POINTS:
        sentence = (
            f"In {num_points} points nothing that was tuned ({names}) explains the objective more than chance would, "
            f"but only what explains more than {hidden:.0%} of the differences would have shown."
        )
        return (Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence, numbers),)
    sentence = (
        f"Nothing that was tuned ({names}) explains the objective more than chance, which would do as well in "
        f"{_percent(p_value)} of cases. A hyperparameter that explained more than {hidden:.0%} of the differences "
        "would have shown."
    )
    proposal = Proposal(
        "Check that the training uses these values; then fix them, or search much wider ranges, and spend the trials "
        "on something else."
    )
    return (Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, proposal=proposal),)


def _percent(p_value: float) -> str:
    return f"{p_value:.0%}" if p_value >= 0.01 else f"{p_value:.1%}"
