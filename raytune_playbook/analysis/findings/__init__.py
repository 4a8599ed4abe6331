"""The checklist: one module for each question of the playbook, and the list of them.

To add a question: a module with a function from `Evidence` to findings, and its line in `DETECTORS`.
"""

from __future__ import annotations

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Detector, Finding
from raytune_playbook.analysis.findings.space.boundary import boundary
from raytune_playbook.analysis.findings.space.density import density
from raytune_playbook.analysis.findings.space.importance import importance
from raytune_playbook.analysis.findings.space.infeasible import infeasible_share
from raytune_playbook.analysis.findings.space.instability import limited_by_instability
from raytune_playbook.analysis.findings.space.left_out import left_out
from raytune_playbook.analysis.findings.space.matters import matters

DETECTORS: tuple[Detector, ...] = (
    boundary,
    density,
    infeasible_share,
    limited_by_instability,
    matters,
    importance,
    left_out,
)
"""In the order of the playbook's checklist."""


def all_findings(evidence: Evidence) -> tuple[Finding, ...]:
    """What every question of the checklist came to, in the checklist's order."""
    return tuple(finding for detector in DETECTORS for finding in detector(evidence))
