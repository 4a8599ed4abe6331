"""Curves of many trials as arrays, so that all of them are tested at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.curves import Curve, Evaluation, TrialCurves
from raytune_playbook.analysis.evidence import Evidence
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
        values: finite, of shape (num_trials, num_points).
    """

    trials: tuple[Trial, ...]
    steps: npt.NDArray[np.int64]
    values: Floats


def stacked(curves: Iterable[tuple[Trial, Curve]], *, sign: float = 1.0) -> list[Stack]:
    """The curves in as few arrays as their steps allow; points that are not finite are left out.

    Args:
        sign: -1 turns what should be large into what should be small.
    """
    groups: dict[bytes, list[tuple[Trial, npt.NDArray[np.int64], Floats]]] = {}
    for trial, curve in curves:
        steps, values = curve.steps, curve.values
        kept = np.abs(values) < FAR_OFF  # false of NaN, too
        if not kept.all():
            steps, values = steps[kept], values[kept]
        groups.setdefault(steps.tobytes(), []).append((trial, steps, values))
    return [
        Stack(tuple(trial for trial, *_ in group), group[0][1], sign * np.stack([values for *_, values in group]))
        for group in groups.values()
    ]


def direction(evidence: Evidence) -> float:
    """The sign by which the objective's metric becomes one that should be small."""
    return 1.0 if evidence.objective.goal == "minimize" else -1.0


def evaluated(evidence: Evidence, trials: Iterable[Trial], split: str, metric: str | None = None) -> list[Stack]:
    """What these trials were evaluated to: the objective's metric, small values good, or another as it is."""
    sign = direction(evidence) if metric is None else 1.0
    wanted = Evaluation(split, metric or evidence.objective.metric)
    found = ((trial, curves) for trial in trials if (curves := evidence.curves.get(trial.id)) is not None)
    given = ((trial, curve) for trial, of_trial in found if (curve := of_trial.evaluations.get(wanted)) is not None)
    return stacked(given, sign=sign)


def training_loss(curves: TrialCurves | None) -> Curve | None:
    """A trial's training loss: means over runs of all its steps, else that of its evaluations; None without both."""
    if curves is None:
        return None
    digest = curves.digests.get(LOSS)
    return digest.means if digest is not None else curves.evaluations.get(Evaluation("train", LOSS))
