"""What a stability study has found so far, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raytune_playbook.analysis.findings.curves.instability import EDGE
from raytune_playbook.analysis.series.curves import StepDigest, TrialCurves
from raytune_playbook.analysis.wording import count_text, number_text
from raytune_playbook.procedures.stability.judging import Instability, Judged, largest_stable, unstable_rate
from raytune_playbook.procedures.stability.mends import Mend, best_of, recommended
from raytune_playbook.procedures.stability.parts import Baseline, rounded
from raytune_playbook.records.columns import GRADIENT_NORM
from raytune_playbook.study.settings import Objective


@dataclass(frozen=True)
class Study:
    """A stability study.

    Fields:
        baseline: whose stability is studied.
        best: what was measured of the round's best trial.
        sweep: what became of each learning rate, the smallest first.
        check: the same of few steps at twice the best learning rate, evaluated at each (rule UN3).
        warmups: of the warmup study, by steps of warmup.
        base_rate: the largest learning rate of that; None where there was none.
        mends: the sweep with each remedy that was tried.
    """

    baseline: Baseline
    best: TrialCurves
    sweep: tuple[Judged, ...]
    check: tuple[Judged, ...]
    warmups: Mapping[int, tuple[Judged, ...]] = field(default_factory=dict)
    base_rate: float | None = None
    mends: tuple[Mend, ...] = ()

    @property
    def objective(self) -> Objective:
        return self.baseline.round.objective

    @property
    def best_rate(self) -> float:
        """The playbook's lr*."""
        return rounded(self.baseline.learning_rate)

    @property
    def unstable(self) -> Judged | None:
        """The training at the smallest learning rate that is unstable (rule UN1), in the sweep or in the check."""
        found = [one for one in (unstable_rate(self.sweep), unstable_rate(self.check)) if one is not None]
        return min(found, key=lambda one: one.learning_rate) if found else None

    @property
    def unstable_rate(self) -> float | None:
        """The playbook's unstable_base_learning_rate; None where none of those that were tried is unstable."""
        return None if self.unstable is None else self.unstable.learning_rate

    @property
    def largest_stable(self) -> float | None:
        """Of the sweep."""
        return largest_stable(self.sweep)

    @property
    def is_limiting(self) -> bool:
        """Whether instability keeps the learning rate small: it begins little above the best, or below it."""
        return self.unstable_rate is not None and self.unstable_rate <= EDGE * self.best_rate

    @property
    def kind(self) -> Instability | None:
        """When training becomes unstable at the smallest rate at which it does (rule UN8)."""
        return None if self.unstable is None else self.unstable.instability

    @property
    def norms(self) -> StepDigest | None:
        """The logged gradient norms of the round's best trial (rule UN2)."""
        return self.best.digests.get(GRADIENT_NORM)

    @property
    def best_without(self) -> Judged | None:
        """The best training of the sweep without any remedy."""
        return best_of(self.sweep, self.objective)

    @property
    def remedy(self) -> Mend | None:
        """What mends it best; None where nothing that was tried does."""
        return recommended(self.mends, self.objective)

    @property
    def found(self) -> str:
        """What became of the learning rates, in a sentence."""
        one = self.unstable
        if one is None:
            times = self.sweep[-1].learning_rate / self.best_rate if self.sweep else 1.0
            return (
                f"Training is stable up to {times:.2g} times the best learning rate, {number_text(self.best_rate)}: "
                "instability is no issue."
            )
        when = "" if one.instability is None else f" {one.instability.text}"
        times = one.learning_rate / self.best_rate
        at = "the best learning rate itself" if times == 1 else f"{times:.2g} times the best, {self.best_rate:g}"
        begins = f"Training becomes unstable{when} from learning rate {one.learning_rate:g} on, {at}"
        if self.is_limiting:
            return f"{begins}: instability keeps the learning rate small."
        return f"{begins}, which is far above it: instability is no issue."

    @property
    def how(self) -> str:
        """How the instability shows, in a sentence; empty where there is none."""
        one = self.unstable
        return "" if one is None else f"At {one.learning_rate:g}: {one.seen}, of {count_text(one.total_steps)} steps."
