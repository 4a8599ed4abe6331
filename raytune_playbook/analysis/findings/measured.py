"""What a stability study has measured goes before what findings alone would propose (rules UN8 and UN10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Fix
from raytune_playbook.analysis.findings.curves.instability import ADVICE, RULE
from raytune_playbook.analysis.findings.curves.looked_at import is_fixed
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.wording import count_text, number_text

_BY = "as raytune-playbook stability has measured"


def with_measured_remedy(
    evidence: Evidence, findings: Sequence[Finding], measured: Mapping[str, JsonValue]
) -> tuple[Finding, ...]:
    """The findings, of which an open one about instability says and proposes what was measured.

    Args:
        findings: of the round.
        measured: the numbers of the newest stability study of the round, see `raytune_playbook.stability`.
    """
    if "is_limiting" not in measured or not evidence.ranked:
        return tuple(findings)
    best, num = evidence.ranked[0].study, sum(each.rule == RULE for each in findings)

    def is_meant(each: Finding) -> bool:
        """A study starts from the best trial: of several learning rates it tells of that one's alone."""
        return each.rule == RULE and each.is_open and (num == 1 or best in {study for study, _ in each.trials})

    return tuple(_with(evidence, each, measured) if is_meant(each) else each for each in findings)


def _with(evidence: Evidence, finding: Finding, measured: Mapping[str, JsonValue]) -> Finding:
    if not measured["is_limiting"]:
        sentence = f"Instability keeps no learning rate small, {_BY}. {finding.sentence}"
        proposal = Proposal(f"Nothing is to be mended: instability begins far above the best learning rate, {_BY}.")
        return replace(finding, sentence=sentence, proposal=proposal, status=Status.LOOK)
    name = measured.get("remedy")
    value = measured.get(name) if isinstance(name, str) else None
    if not isinstance(name, str) or not isinstance(value, int | float):
        sentence = f"Neither warmup nor clipping mends the instability, {_BY}. {finding.sentence}"
        return replace(finding, sentence=sentence, proposal=Proposal(f"{ADVICE[0].upper()}{ADVICE[1:]}."))
    is_warmup = name == "warmup_steps"
    value = int(value) if is_warmup else value
    what = f"a warmup of {count_text(int(value))} steps" if is_warmup else f"clipping at {number_text(value, 3)}"
    widening = measured.get("widening_by_warmup" if is_warmup else "widening_by_clipping")
    reach = f" up to {number_text(widening, 2)} times as large a learning rate" if isinstance(widening, float) else ""
    does = f"{what[0].upper()}{what[1:]} makes training stable{reach}, {_BY}"
    proposal = Proposal(
        f"{does}. Then search learning rates up to the largest stable one.",
        (Fix(name, value),) if is_fixed(evidence, name) else (),
    )
    return replace(finding, sentence=f"{does}. {finding.sentence}", proposal=proposal)
