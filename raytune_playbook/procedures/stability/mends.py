"""What mends an unstable training, and by how much: the choice of a warmup (UN4, UN5) and of a threshold (UN6, UN7)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.findings.curves.clipping import MOST
from raytune_playbook.analysis.findings.curves.instability import NORM_PERCENTILE
from raytune_playbook.analysis.findings.curves.looked_at import WARMUP_SHARE
from raytune_playbook.analysis.series.curves import StepDigest
from raytune_playbook.procedures.stability.judging import Judged, largest_stable, widening
from raytune_playbook.records.columns import GRADIENT_NORM
from raytune_playbook.study.settings import Objective

MOST_THRESHOLDS = 4
"""So many thresholds are tried, each half of the one before."""


@dataclass(frozen=True)
class Mend:
    """The sweep of learning rates trained again with a remedy.

    Fields:
        name: of the hyperparameter: ``warmup_steps`` or ``clipping_norm``.
        value: of it.
        sweep: what became of each learning rate, the smallest first.
        widening: the largest stable learning rate as a multiple of that without; None where one is not known.
        best: the training with the best objective; None where none came to its end.
        clipped: the share of its updates that were clipped; None without clipping.
    """

    name: str
    value: float
    sweep: tuple[Judged, ...]
    widening: float | None
    best: Judged | None
    clipped: float | None = None

    @property
    def widens(self) -> bool:
        return self.widening is not None and self.widening > 1

    @property
    def is_lower_rate(self) -> bool:
        """Whether it is in essence a lower learning rate: most updates are clipped (rule UN7)."""
        return self.clipped is not None and self.clipped > MOST

    @property
    def mends(self) -> bool:
        return self.widens and not self.is_lower_rate

    def is_stable_at(self, rate: float) -> bool:
        """Whether training is stable at a learning rate of the sweep, and at all below it."""
        largest = largest_stable(self.sweep)
        return largest is not None and largest >= rate


def mend_of(name: str, value: float, before: Sequence[Judged], sweep: tuple[Judged, ...], objective: Objective) -> Mend:
    """What a remedy came to, compared with the sweep without it."""
    best = best_of(sweep, objective)
    clipped = clipped_share(best, value) if name == "clipping_norm" and best is not None else None
    return Mend(name, value, sweep, widening(before, sweep), best, clipped)


def best_of(sweep: Sequence[Judged], objective: Objective) -> Judged | None:
    """The training whose best checkpoint is best, of those that came to their end; the smaller rate where two tie."""
    best: Judged | None = None
    for one in sweep:
        if one.objective is None or not math.isfinite(one.objective):
            continue
        if best is None or best.objective is None or objective.is_better(one.objective, best.objective):
            best = one
    return best


def recommended(mends: Sequence[Mend], objective: Objective) -> Mend | None:
    """The remedy whose best training is best; of equals the first, as the playbook's order is."""
    chosen: Mend | None = None
    for mend in mends:
        if not mend.mends or mend.best is None or mend.best.objective is None:
            continue
        best = None if chosen is None or chosen.best is None else chosen.best.objective
        if best is None or objective.is_better(mend.best.objective, best):
            chosen = mend
    return chosen


# ---------------------------------------------------------------------- warmup


@dataclass(frozen=True)
class Warmup:
    """A warmup that the study found.

    Fields:
        steps: the fewest with which training was stable at the rate.
        rate: the largest base learning rate that any warmup made stable.
    """

    steps: int
    rate: float


def shortest_stable(study: Mapping[int, Sequence[Judged]]) -> Warmup | None:
    """The shortest stable warmup to the largest base learning rate that one is stable at (rule UN4).

    Args:
        study: by steps of warmup what became of each base learning rate.
    """
    rates = {one.learning_rate for tried in study.values() for one in tried}
    for rate in sorted(rates, reverse=True):
        stable = [
            steps for steps, tried in study.items() if any(one.learning_rate == rate and one.is_stable for one in tried)
        ]
        if stable:
            return Warmup(min(stable), rate)
    return None


def longer_training(warmup_steps: int, max_train_steps: int) -> int | None:
    """The max_train_steps of which a warmup is no more than 5%; None where that is so already (rule UN5)."""
    return math.ceil(warmup_steps / WARMUP_SHARE) if warmup_steps > WARMUP_SHARE * max_train_steps else None


# ---------------------------------------------------------------------- clipping


def norms_of(one: Judged | None) -> StepDigest | None:
    """The logged gradient norms of a training, unclipped; None where there are none."""
    digest = None if one is None or one.curves is None else one.curves.digests.get(GRADIENT_NORM)
    return digest if digest is not None and digest.num_steps > digest.num_not_finite else None


def first_threshold(norms: StepDigest, present: float | None) -> float:
    """The 90th percentile of the logged norms; at most half of a present threshold (rule UN6)."""
    percentile = float(norms.quantiles[NORM_PERCENTILE])
    return _rounded(percentile if present is None else min(percentile, present / 2))


def smaller_threshold(threshold: float) -> float:
    """The next to try where training stays unstable."""
    return _rounded(threshold / 2)


def clipped_share(one: Judged, threshold: float) -> float | None:
    """The share of a training's updates that were clipped."""
    norms = norms_of(one)
    return None if norms is None else norms.share_above(threshold)


def _rounded(threshold: float) -> float:
    return float(f"{threshold:.3g}")
