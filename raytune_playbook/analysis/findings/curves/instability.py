"""Does optimization become unstable, and does that force a small learning rate? (Rules IN4, UN1, UN2 and UN8.)

See the playbook's "How can optimization failures be debugged and mitigated?": any workload becomes unstable if the
learning rate is too large; "instability is only an issue when it forces you to use a learning rate that's too small".
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from raytune_playbook.analysis.answer.resolution import is_perfect
from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.findings.changes import Change, Fix
from raytune_playbook.analysis.findings.curves.looked_at import (
    WARMUP_SHARE,
    arm_text,
    best_of_arms,
    completed,
    fixed_values,
    is_fixed,
    no_curves,
    number_of,
    too_few_evaluations,
    trials_text,
)
from raytune_playbook.analysis.findings.curves.unstable import (
    Kind,
    Unstable,
    learning_rate_of_onset,
    unstable_trials,
)
from raytune_playbook.analysis.findings.finding import Finding, Proposal, Status
from raytune_playbook.analysis.series.noise import MIN_POINTS
from raytune_playbook.analysis.series.stacks import Stack, stacked, training_loss
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.analysis.wording import count_text, form_for, number_text
from raytune_playbook.records.columns import GRADIENT_NORM
from raytune_playbook.study.hyperparameters.known import is_learning_rate

RULE, QUESTION = "IN4", "Is optimization unstable, and does that keep the learning rate small?"

EDGE = 3.2
"""A best learning rate within this factor below the one from which on training is unstable lies at its edge."""

NORM_PERCENTILE = 90
"""Of the logged gradient norms, at which clipping begins (rule UN6)."""

ADVICE = (
    "another optimizer (Adam takes what momentum does not), residual connections with "
    "normalization last, x + Norm(f(x)), and residual branches that begin at zero; a lower learning rate comes last"
)


def instability(evidence: Evidence) -> Sequence[Finding]:
    """Looks at the training loss and gradient norms of all trials, and at those that diverged.

    Where values have learning rates of their own, as two optimizers have, each is looked at by itself: what is too
    large for one says nothing of the other (rule SD5).
    """
    branches = _branches(evidence)
    if len(branches) < 2:
        return _instability(evidence)
    return [
        replace(finding, sentence=f"{whose}: {finding.sentence}")
        for whose, branch in branches.items()
        for finding in _instability(branch)
    ]


def _branches(evidence: Evidence) -> dict[str, Evidence]:
    """The studies of each learning rate that is searched under a name of its own, by what they are called."""
    by_rate: dict[str, list[Arm]] = {}
    if any(study.arms for study in evidence.studies):  # joint ones have trials of all values
        return {}
    for arm in evidence.arms:
        name = next((name for name in arm.space if is_learning_rate(name)), "")
        by_rate.setdefault(name, []).append(arm)
    names = [{arm.study for arm in arms} for arms in by_rate.values()]
    return {
        ", ".join(arm_text(arm) for arm in arms): replace(
            evidence,
            studies=tuple(study for study in evidence.studies if study.name in studies),
            trials=tuple(trial for trial in evidence.trials if trial.study in studies),
        )
        for arms, studies in zip(by_rate.values(), names, strict=True)
    }


def _instability(evidence: Evidence) -> Sequence[Finding]:
    unstable = unstable_trials(evidence)
    stacks = _losses(evidence)
    known = [trial for stack in stacks if stack.values.shape[1] >= MIN_POINTS for trial in stack.trials]
    if not known and not unstable:
        too_few = stacks and too_few_evaluations(RULE, QUESTION, stacks, MIN_POINTS)
        return [too_few or no_curves(RULE, QUESTION, evidence, "Training losses")]
    num_looked = len(known) + sum(one.kind is Kind.ENDED for one in unstable)
    onset = learning_rate_of_onset(evidence, unstable)
    best = best_of_arms(evidence)
    numbers = {"num_unstable": float(len(unstable)), "num_trials": float(num_looked)}
    numbers |= {f"num_{kind.name.lower()}": float(sum(one.kind is kind for one in unstable)) for kind in Kind}
    if onset is not None:
        numbers["unstable_base_learning_rate"] = onset
    norms = "" if _any_norms(evidence, known) else " Gradient norms were not logged, so spikes of theirs are not known."
    if not unstable:
        sentence = (
            f"No trial is unstable, of {count_text(num_looked)} looked at: no training loss suddenly rises.{norms}"
        )
        return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers)]
    ids = {trial.id for trial in best}
    of_best = [one for one in unstable if one.trial.id in ids]
    at_edge = [trial for trial in best if _is_at_edge(trial, onset)]
    verb = form_for(len(unstable), "is", "are")
    found = f"{len(unstable)} of {count_text(num_looked)} trials {verb} unstable ({_kinds_text(unstable)})"
    found += f", from learning rate {number_text(onset, 2)} on" if onset is not None else ""
    trials = tuple(one.trial.id for one in [*of_best, *(one for one in unstable if one not in of_best)])
    metric = f"{evidence.objective.name} of {number_text(evidence.ranked[0].objective)}" if best else ""
    if of_best:
        whose = f"among them {_best_text(of_best, len(best))}"
        sentence = f"{found}; {whose}, so that stabler training should do better.{norms}"
        if is_perfect(evidence):
            sentence = f"{found}; {whose}, but nothing is better than their {metric}.{norms}"
    elif at_edge:
        rate = number_text(number_of(at_edge[0], "learning_rate"), 2)
        sentence = (
            f"{found}. The best trial lies just below, at {rate} ({trials_text(at_edge, 2)}): instability keeps the "
            f"learning rate small.{norms}"
        )
    elif not ids <= {trial.id for trial in known}:
        sentence = f"{found}. Whether the best trials are stable is not known: their training loss was not recorded."
        return [Finding(RULE, QUESTION, Status.CANNOT_TELL, sentence, numbers, trials)]
    else:
        sentence = f"{found}. The best trials are stable and not near that, so instability is no issue.{norms}"
        return [Finding(RULE, QUESTION, Status.PASSES, sentence, numbers, trials)]
    proposal = _proposal(evidence, of_best or unstable, known, {one.trial.id for one in unstable}, onset)
    studies = tuple(dict.fromkeys(trial.study for trial in at_edge or [one.trial for one in of_best]))
    recovered = not at_edge and all(one.kind is Kind.EARLY for one in of_best)
    status = Status.LOOK if recovered or is_perfect(evidence) else Status.PROBLEM
    return [Finding(RULE, QUESTION, status, sentence, numbers, trials, studies, proposal=proposal)]


def _losses(evidence: Evidence) -> list[Stack]:
    curves = ((trial, training_loss(evidence.curves.get(trial.id))) for trial in completed(evidence))
    return stacked((trial, loss) for trial, loss in curves if loss is not None)


def _any_norms(evidence: Evidence, trials: Sequence[Trial]) -> bool:
    return any(GRADIENT_NORM in evidence.curves[trial.id].digests for trial in trials)


def _is_at_edge(trial: Trial, onset: float | None) -> bool:
    rate = number_of(trial, "learning_rate")
    return onset is not None and rate is not None and rate < onset <= EDGE * rate


def _kinds_text(unstable: Sequence[Unstable]) -> str:
    """``3 early, 2 in the middle of training, 1 until it ended``."""
    counts = {kind: sum(one.kind is kind for one in unstable) for kind in Kind}
    return ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)


def _best_text(of_best: Sequence[Unstable], num_best: int) -> str:
    """The best trial that is unstable, with what is seen of it."""
    first = of_best[0]
    which = "the best" if num_best == 1 else f"{len(of_best)} of {num_best} best ones"
    seen = f"at step {count_text(first.step)}" if first.step is not None else "at its end"
    if first.height is not None:
        seen = f"its loss rises {number_text(first.height, 2)}-fold {seen}"
    elif first.spike is not None:
        seen = f"a gradient norm of {number_text(first.spike, 2)} times its 90th percentile {seen}"
    return f"{which} ({first.trial.text}: {seen})"


# ---------------------------------------------------------------------- remedies, in the playbook's order


def _proposal(
    evidence: Evidence,
    unstable: Sequence[Unstable],
    known: Sequence[Trial],
    ids: Set[TrialId],
    onset: float | None,
) -> Proposal:
    is_early = sum(one.kind is Kind.EARLY for one in unstable) >= len(unstable) / 2
    warmup_steps = _warmup(evidence) if is_early else None
    threshold = _clipping_norm(evidence, known, ids)
    changes: list[Change] = []
    parts = []
    if warmup_steps is not None:
        changes.append(Fix("warmup_steps", warmup_steps))
        parts.append(f"Warm the learning rate up over {count_text(warmup_steps)} steps")
    if threshold is not None and not changes:
        changes.append(Fix("clipping_norm", threshold))
        parts.append(_clipping_text(evidence, threshold))
    elif threshold is not None:
        parts.append(f"if instability remains, clip gradients to a norm of {number_text(threshold, 3)}")
    if not parts:
        parts.append(
            "Warm the learning rate up longer, or clip gradients at a smaller norm unless most are clipped by it"
        )
    reach = ""
    if onset is not None:
        reach = f" Then search learning rates up to {number_text(10 * onset, 2)}, ten times where instability begins."
    tried = " raytune-playbook stability ROUND tries warmup and clipping." if evidence.is_planned_here else ""
    return Proposal(f"{'; '.join(parts)}. If that does not do: {ADVICE}.{reach}{tried}", tuple(changes))


def _warmup(evidence: Evidence) -> int | None:
    """Steps of warmup to begin with, where there is none."""
    steps = max((study.max_train_steps for study in evidence.studies), default=0)
    has_none = is_fixed(evidence, "warmup_steps") and fixed_values(evidence, "warmup_steps") <= {0, None}
    return max(1, int(WARMUP_SHARE * steps)) if has_none and steps else None


def _clipping_norm(evidence: Evidence, known: Sequence[Trial], ids: Set[TrialId]) -> float | None:
    """The 90th percentile of the gradient norms of the best trial that is stable; where that much is clipped already,
    half of the present threshold. None where norms were not logged, nothing can be clipped, or most updates would."""
    if not is_fixed(evidence, "clipping_norm"):
        return None
    present = [value for value in fixed_values(evidence, "clipping_norm") if isinstance(value, int | float)]
    stable = [trial for trial in evidence.ranked if trial.id not in ids] or known
    norm = norm_percentile(evidence, stable)
    if norm is None:
        return None
    threshold = norm if not present else min(norm, min(present) / 2)
    median = norm_percentile(evidence, stable, 50)
    if present and median is not None and threshold < median:
        return None  # that would clip most updates (rule UN7)
    return float(f"{threshold:.3g}")


def norm_percentile(evidence: Evidence, trials: Sequence[Trial], percentile: int = NORM_PERCENTILE) -> float | None:
    """A percentile of the first trial's gradient norms that has any."""
    for trial in trials:
        curves = evidence.curves.get(trial.id)
        digest = None if curves is None else curves.digests.get(GRADIENT_NORM)
        if digest is not None and digest.quantiles[percentile] > 0:
            return float(digest.quantiles[percentile])
    return None


def _clipping_text(evidence: Evidence, threshold: float) -> str:
    is_clipped = fixed_values(evidence, "clipping_norm") != {None}
    where = "half of what is clipped at now" if is_clipped else "the 90th percentile of a stable trial's"
    return f"Clip gradients to a norm of {number_text(threshold, 3)}, {where}"
