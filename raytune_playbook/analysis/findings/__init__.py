"""The checklist: one module for each question of the playbook, and the list of them.

To add a question: a module with a function from `Evidence` to findings, and its line in `DETECTORS`.
"""

from __future__ import annotations

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Detector, Finding

DETECTORS: tuple[Detector, ...] = ()
"""In the order of the playbook's checklist."""


def all_findings(evidence: Evidence) -> tuple[Finding, ...]:
    """What every question of the checklist came to, in the checklist's order."""
    return tuple(finding for detector in DETECTORS for finding in detector(evidence))
