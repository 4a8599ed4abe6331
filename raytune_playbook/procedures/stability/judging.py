"""Was a training stable? One rule for all of a stability study's trials (rules UN1 and UN8).

A training is unstable where it ends in NaN, infinity or divergence (rule IN3), where a detector of rule IN4 sees its
loss or gradients jump (`raytune_playbook.analysis.findings.curves.unstable`), or where it does not learn: its loss
falls by less than a quarter of what it falls by at the best learning rate in as many steps. The last is what a network
does whose units have died: the loss stays where it begins, and nothing jumps any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.looked_at import number_of
from raytune_playbook.analysis.findings.curves.unstable import FAR_OFF, Unstable, is_early, unstable_trials
from raytune_playbook.analysis.series.curves import Curve, TrialCurves
from raytune_playbook.analysis.series.stacks import training_loss
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import count_text, number_text
from raytune_playbook.records.columns import LOSS
from raytune_playbook.records.types import Outcome

LEARNS = 0.25
"""A training learns that lowers its loss by this share of what the best learning rate does in as many steps."""

TELLS = 0.1
"""The best learning rate must have lowered the loss by this share before another can be measured by it."""

END = 0.1
"""The last share of a training, over which its final loss is the mean."""


class Instability(StrEnum):
    """When training became unstable."""

    EARLY = "early"
    MID = "mid"

    @property
    def text(self) -> str:
        """In words."""
        return "early in training" if self is Instability.EARLY else "in the middle of training"


@dataclass(frozen=True)
class Judged:
    """A training at one learning rate.

    Fields:
        learning_rate: base of its schedule.
        trial: its record.
        instability: when it became unstable; None where it is stable.
        seen: how that shows, in words; empty where it is stable.
        curves: what was measured; None where nothing was.
        total_steps: that it was to train for, warmup included.
    """

    learning_rate: float
    trial: Trial
    instability: Instability | None
    seen: str
    curves: TrialCurves | None
    total_steps: int

    @property
    def is_stable(self) -> bool:
        return self.instability is None

    @property
    def objective(self) -> float | None:
        """Of a training that came to its end, stable or not."""
        return self.trial.objective if self.trial.outcome == Outcome.COMPLETED else None


def judged(evidence: Evidence, *, reference: Curve | None = None) -> tuple[Judged, ...]:
    """Judge every first run of a part of the study, the smallest learning rate first.

    Args:
        evidence: of the part, whose trials differ in their learning rate.
        reference: the training loss at the best learning rate, against which learning is measured; None for not at all.

    Returns:
        Without trials that have not ended, or that could not be trained for another reason, such as memory.
    """
    seen = {one.trial.id: one for one in unstable_trials(evidence)}
    max_train_steps = {study.name: study.max_train_steps for study in evidence.studies}
    found = []
    for trial in evidence.first_runs:
        rate = number_of(trial, "learning_rate")
        has_ended = trial.outcome == Outcome.COMPLETED or (trial.outcome == Outcome.INFEASIBLE and trial.id in seen)
        if rate is None or not has_ended:
            continue
        total = max_train_steps[trial.study] + int(number_of(trial, "warmup_steps") or 0)
        curves = evidence.curves.get(trial.id)
        instability, how = _instability(trial, curves, seen.get(trial.id), total, reference)
        found.append(Judged(rate, trial, instability, how, curves, total))
    return tuple(sorted(found, key=lambda one: one.learning_rate))


def loss_of(one: Judged) -> Curve | None:
    """The training loss of a judged training, as means over runs of steps."""
    return training_loss(one.curves)


def _instability(
    trial: Trial, curves: TrialCurves | None, seen: Unstable | None, total_steps: int, reference: Curve | None
) -> tuple[Instability | None, str]:
    """When a training became unstable, and how that shows."""
    if trial.outcome == Outcome.INFEASIBLE:
        return _when(_first_far_off(curves), total_steps), trial.reason or "infeasible"
    # Clipped gradients may have spikes, which is what they are clipped for; then the loss alone tells.
    if seen is not None and not (seen.spike is not None and number_of(trial, "clipping_norm")):
        return _when(seen.step, total_steps), _seen_text(seen)
    loss = training_loss(curves)
    learned = None if loss is None or reference is None else learning(loss, reference)
    if loss is None or learned is None or learned.share >= LEARNS:
        return None, ""
    had_learned = learned.largest_share >= 2 * LEARNS
    falls = f"falls by only {learned.share:.0%} of that at the best learning rate" if learned.share > 0 else "stays"
    how = f"it does not learn: its loss {falls}"
    return _when(learned.step_of_largest if had_learned else None, total_steps), how


class Learning(NamedTuple):
    """What a training learns: the fall of its loss, as a share of that at the best learning rate in as many steps.

    Fields:
        share: at its end.
        largest_share: at its lowest loss.
        step_of_largest: where that was.
    """

    share: float
    largest_share: float
    step_of_largest: int


def learning(loss: Curve, reference: Curve) -> Learning | None:
    """Compare a training loss with that of the best learning rate.

    Returns:
        None where the latter falls too little in as many steps to tell, or one has no points.
    """
    if not len(loss.steps) or not len(reference.steps):
        return None
    until = reference.steps <= loss.steps[-1]
    if not until.any():
        return None
    # Both are measured from where the best one starts: the first steps of one that blows up say little of its start.
    start = float(reference.values[0])
    fall = start - _end(Curve(reference.steps[until], reference.values[until]))
    if fall < TELLS * abs(start):
        return None
    lowest = int(np.argmin(loss.values))
    return Learning((start - _end(loss)) / fall, (start - float(loss.values[lowest])) / fall, int(loss.steps[lowest]))


def _end(loss: Curve) -> float:
    last = loss.steps > (1 - END) * loss.steps[-1]
    return float(np.mean(loss.values[last]))


def _when(step: int | None, total_steps: int) -> Instability:
    return Instability.EARLY if step is None or is_early(step, total_steps) else Instability.MID


def _first_far_off(curves: TrialCurves | None) -> int | None:
    """The first step whose loss is far above that at the start; None where none is."""
    loss = None if curves is None else curves.steps.get(LOSS)
    if loss is None or not len(loss.values) or not np.isfinite(loss.values[0]):
        return None
    far_off = ~(loss.values <= FAR_OFF * abs(loss.values[0]))  # NaN is
    return int(loss.steps[int(far_off.argmax())]) if far_off.any() else None


def _seen_text(seen: Unstable) -> str:
    at = "" if seen.step is None else f" at step {count_text(seen.step)}"
    if seen.spike is not None:
        return f"a gradient norm of {number_text(seen.spike, 2)} times the 90th percentile{at}"
    height = "" if seen.height is None else f" {number_text(seen.height, 2)}-fold"
    return f"its loss rises{height}{at}"


# ---------------------------------------------------------------------- the stable range


def unstable_rate(sweep: Sequence[Judged]) -> Judged | None:
    """The training at the smallest learning rate that is unstable (rule UN1); None where all are stable."""
    return next((one for one in sweep if not one.is_stable), None)


def largest_stable(sweep: Sequence[Judged]) -> float | None:
    """The largest learning rate up to which all are stable; None where the smallest is not."""
    largest = None
    for one in sweep:
        if not one.is_stable:
            break
        largest = one.learning_rate
    return largest


def widening(before: Sequence[Judged], after: Sequence[Judged]) -> float | None:
    """How many times as large the largest stable learning rate became; None where there was none, or is none."""
    old, new = largest_stable(before), largest_stable(after)
    return None if old is None or new is None else new / old
