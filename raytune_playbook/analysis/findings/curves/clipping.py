"""Are most updates clipped? (Rule UN7.)

See the playbook's "Gradient clipping": clipping more than half of the updates "is, in essence, a strange way of
reducing the learning rate"; "you probably should just cut the learning rate instead".
"""

from __future__ import annotations

from collections.abc import Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.changes import Change, Fix, SearchOver
from raytune_playbook.analysis.findings.curves.instability import norm_percentile
from raytune_playbook.analysis.findings.curves.looked_at import best_of_arms, is_fixed, no_curves, number_of
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import number_text
from raytune_playbook.records.columns import GRADIENT_NORM
from raytune_playbook.study.hyperparameters.hyperparameter import Float
from raytune_playbook.study.hyperparameters.known import is_learning_rate, usual_name

RULE, QUESTION = "UN7", "Are most updates clipped?"

MOST = 0.5


def clipping(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the best trial of every arm."""
    best = best_of_arms(evidence)
    if not best:
        return [no_curves(RULE, QUESTION, evidence)]
    clipped = [(trial, norm) for trial in best if (norm := number_of(trial, "clipping_norm"))]
    if not clipped and not any(usual_name(name) == "clipping_norm" for trial in best for name in trial.values):
        sentence = "Whether gradients are clipped was not recorded: no hyperparameter is called clipping_norm."
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence)]
    if not clipped:
        return [Finding(RULE, QUESTION, Status.PASSES, "No gradients are clipped in the best trials.")]
    shares = [(share, trial) for trial, norm in clipped if (share := _share(evidence, trial, norm)) is not None]
    if not shares:
        return [no_curves(RULE, QUESTION, evidence, "Gradient norms")]
    share, trial = max(shares, key=lambda one: one[0])
    norm = number_of(trial, "clipping_norm")
    numbers = {"largest_clipped_share": share, "num_best_trials": float(len(shares))}
    found = f"{share:.0%} of the updates of {trial.text} are clipped, at a gradient norm of {number_text(norm, 3)}"
    if share <= MOST:
        more = "" if len(shares) == 1 else ", and no more of any other best trial"
        return [Finding(RULE, QUESTION, Status.PASSES, f"{found}{more}.", numbers, (trial.id,))]
    sentence = f"{found}: that is a strange way of reducing the learning rate; lower the learning rate instead."
    proposal = _less_clipping(evidence, trial, norm)
    return [Finding(RULE, QUESTION, Status.LOOK, sentence, numbers, (trial.id,), (trial.study,), proposal=proposal)]


def _share(evidence: Evidence, trial: Trial, norm: float) -> float | None:
    """The share of a trial's updates that are clipped; None where its gradient norms were not logged."""
    curves = evidence.curves.get(trial.id)
    digest = None if curves is None else curves.digests.get(GRADIENT_NORM)
    if digest is None or digest.num_steps == digest.num_not_finite:
        return None
    return digest.share_above(norm)


def _less_clipping(evidence: Evidence, trial: Trial, norm: float | None) -> Proposal:
    """Clip what is unusual alone, and search learning rates that are lower by what clipping took away."""
    percentile = norm_percentile(evidence, [trial])
    if percentile is None or norm is None:
        return Proposal("Search lower learning rates, and clip less.")
    typical = float(evidence.curves[trial.id].digests[GRADIENT_NORM].quantiles[50])
    changes: list[Change] = []
    if is_fixed(evidence, "clipping_norm"):
        changes.append(Fix("clipping_norm", float(f"{percentile:.3g}")))
    sentence = f"Clip at {number_text(percentile, 3)}, the 90th percentile of the norms"
    name = next((name for study in evidence.studies for name in study.space if is_learning_rate(name)), "learning_rate")
    range_ = evidence.studies[0].space.get(name) if evidence.studies else None
    is_alike = all(study.space.get(name) == range_ for study in evidence.studies)
    if isinstance(range_, Float) and range_.scale == "log" and is_alike and typical > norm:
        low = float(f"{range_.low * norm / typical:.2g}")
        changes.append(SearchOver(name, Float(low, range_.high, scale="log", when=range_.when)))
        return Proposal(f"{sentence}, and search learning rates from {number_text(low, 2)} upwards.", tuple(changes))
    return Proposal(f"{sentence}, and lower the learning rate.", tuple(changes))
