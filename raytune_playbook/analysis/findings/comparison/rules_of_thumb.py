"""Does the round go against the playbook's rules of thumb? (Rules SD1, SD4, SD9, SD10, BA7 and CK3.)

Each warning was printed before the round began; whoever reads its answer was perhaps not there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status

RULE, QUESTION = "SD4", "Does the round go against a rule of thumb?"

_WARNING = re.compile(r"(?:(?P<rule>[A-Z]{2}\d+): )?(?P<what>.+?)(?:; (?P<advice>[^;]+))?", re.DOTALL)


def rules_of_thumb(evidence: Evidence) -> Sequence[Finding]:
    """One finding for each rule of thumb that the round goes against."""
    # Trials that were stopped early are counted by a question of their own.
    given = [warning for warning in evidence.warnings if warning.strip() and not warning.startswith("CK4: ")]
    found = [_finding(warning, evidence.roles) for warning in given]
    if not found and not evidence.is_planned_here:
        sentence = "Rules of thumb were not checked: another tool has planned these trials."
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence)]
    return found or [Finding(RULE, QUESTION, Status.PASSES, "The round goes against no rule of thumb.")]


def _finding(warning: str, names: Collection[str]) -> Finding:
    """The finding of ``SD4: what is wrong; what to do.``"""
    parts = _WARNING.fullmatch(warning.strip())
    if parts is None:
        return Finding(RULE, QUESTION, Status.LOOK, warning)
    about = parts["what"].split(" ", 1)[0]
    advice = re.sub(r"^make it ", f"make {about} ", parts["advice"] or "") if about in names else parts["advice"]
    proposal = Proposal(_sentence(advice, names)) if advice else None
    what = _sentence(parts["what"], names)
    return Finding(parts["rule"] or RULE, QUESTION, Status.LOOK, what, proposal=proposal)


def _sentence(text: str, names: Collection[str]) -> str:
    """Text as a sentence of its own; the name of a hyperparameter at its beginning stays as it is written."""
    begin = text if text.split(" ", 1)[0] in names else text[0].upper() + text[1:]
    return begin if begin.endswith(".") else f"{begin}."
