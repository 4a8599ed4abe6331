"""The checklist: one module for each question of the playbook, and the list of them.

To add a question: a module with a function from `Evidence` to findings, and its line in `DETECTORS`.
"""

from __future__ import annotations

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.comparison.cost import cost
from raytune_playbook.analysis.findings.comparison.equal_tuning import equal_tuning
from raytune_playbook.analysis.findings.comparison.gradient_accumulation import gradient_accumulation
from raytune_playbook.analysis.findings.comparison.rare_classes import rare_classes
from raytune_playbook.analysis.findings.comparison.rules_of_thumb import rules_of_thumb
from raytune_playbook.analysis.findings.comparison.same_conditions import same_conditions
from raytune_playbook.analysis.findings.comparison.step_count import step_count
from raytune_playbook.analysis.findings.comparison.stopped_early import stopped_early
from raytune_playbook.analysis.findings.comparison.unfinished import unfinished
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
    instability,
    clipping,
    warmup,
    overfitting,
    late_variance,
    training_ends,
    rising_loss,
    periodicity,
    best_step_shares,
    step_count,
    waiting,
    matters,
    importance,
    left_out,
    equal_tuning,
    same_conditions,
    unfinished,
    stopped_early,
    rules_of_thumb,
    rare_classes,
    cost,
    gradient_accumulation,
)
"""In the order of the playbook's checklist."""


def all_findings(evidence: Evidence) -> tuple[Finding, ...]:
    """What every question of the checklist came to, in the checklist's order."""
    return tuple(finding for detector in DETECTORS for finding in detector(evidence))
