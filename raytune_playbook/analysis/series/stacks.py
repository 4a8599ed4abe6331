"""Curves of many trials as arrays, so that all of them are tested at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.columns import LOSS

Floats = npt.NDArray[np.float64]

FAR_OFF = 1e100
"""Values beyond it are left out like infinities: their squares would be some."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Curves that were measured at the same steps.

    Fields:
        trials: whose they are, of shape (num_trials,).
        steps: rising, of shape (num_points,).
        values: finite, of shape (num_trials, num_points). Small ones are good: of a metric that should be large they
            are what it leaves to 1 where it is a share, such as an accuracy, and else its negative.
        sign, offset: by which they were made of what was measured.
    """

    trials: tuple[Trial, ...]
    steps: npt.NDArray[np.int64]
    values: Floats
    sign: float = 1.0
    offset: float = 0.0

    def as_measured(self, value: float) -> float:
        """The metric itself, of one of the values."""
        return self.sign * (value - self.offset)


def stacked(curves: Iterable[tuple[Trial, Curve]], *, is_maximized: bool = False) -> list[Stack]:
    """The curves in as few arrays as their steps allow; points that are not finite are left out, and so are
    curves without any others.

    Args:
        is_maximized: whether large values are good.
    """
    groups: dict[bytes, list[tuple[Trial, npt.NDArray[np.int64], Floats]]] = {}
    for trial, curve in curves:
        steps, values = curve.steps, curve.values
        kept = np.abs(values) < FAR_OFF  # false of NaN, too
        if not kept.all():
            steps, values = steps[kept], values[kept]
        if len(steps):
            groups.setdefault(steps.tobytes(), []).append((trial, steps, values))
    return [_stack(group, is_maximized) for group in groups.values()]


def _stack(group: Sequence[tuple[Trial, npt.NDArray[np.int64], Floats]], is_maximized: bool) -> Stack:
    trials, measured = tuple(trial for trial, *_ in group), np.stack([values for *_, values in group])
    if not is_maximized:
        return Stack(trials, group[0][1], measured)
    is_share = bool(np.all((measured >= 0) & (measured <= 1)))
    offset = 1.0 if is_share else 0.0
    return Stack(trials, group[0][1], offset - measured, -1.0, offset)


def evaluated(evidence: Evidence, trials: Iterable[Trial], split: str, metric: str | None = None) -> list[Stack]:
    """What these trials were evaluated to: the objective's metric, small values good, or another as it is."""
    wanted = Evaluation(split, metric or evidence.objective.metric)
    found = ((trial, curves) for trial in trials if (curves := evidence.curves.get(trial.id)) is not None)
    given = ((trial, curve) for trial, of_trial in found if (curve := of_trial.evaluations.get(wanted)) is not None)
    return stacked(given, is_maximized=metric is None and evidence.objective.goal == "maximize")


def training_loss(curves: TrialCurves | None) -> Curve | None:
    """A trial's training loss: means over runs of all its steps, else that of its evaluations; None without both."""
    if curves is None:
        return None
    digest = curves.digests.get(LOSS)
    return digest.means if digest is not None else curves.evaluations.get(Evaluation("train", LOSS))
