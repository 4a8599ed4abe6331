"""Which hyperparameters matter, and which must be tuned together? (Rule IN15.)

A forest tells how much of the differences each hyperparameter explains (fANOVA); whether two of them interact is tested
against chance, since a forest of few trials finds interactions everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.plots.importance import Importance, importances, values_of
from raytune_playbook.analysis.sampled.chance import LEVEL, Pair, pairs_of
from raytune_playbook.analysis.sampled.points import Group, groups_of

RULE = "IN15"
QUESTION = "Which hyperparameters matter, and which must be tuned together?"

MIN_SHARE = 0.05
"""An interaction that explains less of the differences is not worth speaking of."""


def importance(evidence: Evidence) -> Sequence[Finding]:
    """What explains the objective, and which hyperparameters depend on each other."""
    told = [own for own in importances(evidence) if own.p_value <= LEVEL]
    if not told:
        sentence = "The trials are too few, or too much alike, to tell hyperparameters that matter from chance."
        return (Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence),)
    pairs = interacting(evidence)
    names = list(dict.fromkeys(name for own in told for name in own.shares))
    shares = {name: _mean_share(told, name) for name in names}
    order = sorted(names, key=lambda name: -shares[name])
    explained = ", ".join(f"{name} {shares[name]:.0%}" for name in order)
    sentences = [f"Of the differences between trials each explains by itself: {explained}."]
    proposal = None
    if pairs:
        texts = ", ".join(f"{' and '.join(pair.names)} ({pair.share:.0%} of the differences)" for pair in pairs)
        sentences.append(f"Best values depend on each other for {texts}.")
        together = "; ".join(" with ".join(pair.names) for pair in pairs)
        proposal = Proposal(f"When one of them changes, tune the other again: {together}.")
    numbers: dict[str, float] = {f"share_{name}": shares[name] for name in order}
    numbers["num_interactions"] = len(pairs)
    return (Finding(RULE, QUESTION, Status.PASSES, " ".join(sentences), numbers, proposal=proposal),)


def interacting(evidence: Evidence) -> list[Pair]:
    """The pairs of hyperparameters that interact more than chance would have it, the strongest first."""
    groups = [group for group in groups_of(evidence) if group.best is not None]
    found: dict[tuple[str, str], Pair] = {}
    for group in groups:
        for pair in _pairs(group):
            if pair.p_value <= LEVEL / len(groups) and pair.share >= MIN_SHARE:
                known = found.get(pair.names)
                found[pair.names] = pair if known is None or pair.share > known.share else known
    return sorted(found.values(), key=lambda pair: -pair.share)


def _pairs(group: Group) -> list[Pair]:
    """Of the arm with the most points: those of the others are the same, or it would be another group."""
    points = max(group.points, key=lambda own: int(own.completed.sum()))
    return pairs_of(group.space, points.units, values_of(points.costs)) if points.completed.any() else []


def _mean_share(told: Sequence[Importance], name: str) -> float:
    return float(np.mean([own.shares[name] for own in told if name in own.shares]))
