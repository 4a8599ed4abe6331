"""The checklist: one module for each question of the playbook, and the list of them.

To add a question: a module with a function from `Evidence` to findings, and its line in `DETECTORS`.
"""

from __future__ import annotations

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.best_step_shares import best_step_shares
from raytune_playbook.analysis.findings.curves.clipping import clipping
from raytune_playbook.analysis.findings.curves.ends import training_ends
from raytune_playbook.analysis.findings.curves.instability import instability
from raytune_playbook.analysis.findings.curves.late_variance import late_variance
from raytune_playbook.analysis.findings.curves.overfitting import overfitting
from raytune_playbook.analysis.findings.curves.periodicity import periodicity
from raytune_playbook.analysis.findings.curves.rising_loss import rising_loss
from raytune_playbook.analysis.findings.curves.waiting import waiting
from raytune_playbook.analysis.findings.curves.warmup import warmup
from raytune_playbook.analysis.findings.finding import Detector, Finding
from raytune_playbook.analysis.findings.space.boundary import boundary
from raytune_playbook.analysis.findings.space.density import density
from raytune_playbook.analysis.findings.space.infeasible import infeasible_share
from raytune_playbook.analysis.findings.space.instability import limited_by_instability

DETECTORS: tuple[Detector, ...] = (
    boundary,
    density,
    infeasible_share,
    limited_by_instability,
    instability,
    clipping,
    warmup,
    overfitting,
    late_variance,
    training_ends,
    rising_loss,
    periodicity,
    best_step_shares,
    waiting,
)
"""In the order of the playbook's checklist."""


def all_findings(evidence: Evidence) -> tuple[Finding, ...]:
    """What every question of the checklist came to, in the checklist's order."""
    return tuple(finding for detector in DETECTORS for finding in detector(evidence))
