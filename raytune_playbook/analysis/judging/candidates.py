"""What trials could be judged by instead: of every metric that was evaluated, its extremes and its last value (QR5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.judging.objective import Best
from raytune_playbook.analysis.series.curves import Curve, Evaluation
from raytune_playbook.records.types import Outcome


@dataclass(frozen=True)
class Candidate:
    """One metric of one split, of every trial.

    Fields:
        evaluation: the split and the metric.
        lowest, highest, last: of each trial in the order of ``Evidence.trials``, with the step; None of a trial that
            was not completed or has no such value.
    """

    evaluation: Evaluation
    lowest: Sequence[Best | None]
    highest: Sequence[Best | None]
    last: Sequence[Best | None]


def candidates(evidence: Evidence, most: int = 12) -> tuple[Candidate, ...]:
    """Every metric that some trial's evaluations measured, the objective's own first; at most so many."""
    objective = evidence.objective
    own = Evaluation(objective.split, objective.metric)
    found = dict.fromkeys(name for curves in evidence.curves.values() for name in curves.evaluations)
    ordered = sorted(found, key=lambda name: (name != own, name.metric != own.metric, name.metric, name.split))
    return tuple(_candidate(evidence, name) for name in ordered[:most])


def _candidate(evidence: Evidence, name: Evaluation) -> Candidate:
    curves = [
        found.evaluations.get(name) if trial.outcome == Outcome.COMPLETED and found else None
        for trial, found in ((trial, evidence.curves.get(trial.id)) for trial in evidence.trials)
    ]
    return Candidate(name, _extremes(curves, 1.0), _extremes(curves, -1.0), [_last(curve) for curve in curves])


def _extremes(curves: Iterable[Curve | None], sign: float) -> list[Best | None]:
    """As `raytune_playbook.analysis.judging.objective.best_of` judges: of finite values, the earliest of the best."""
    return [None if curve is None else _lowest(curve, sign) for curve in curves]


def _lowest(curve: Curve, sign: float) -> Best | None:
    values = np.where(np.isfinite(curve.values), sign * curve.values, np.inf)
    if len(values) == 0 or not np.isfinite(values[place := int(np.argmin(values))]):
        return None
    return Best(float(curve.values[place]), int(curve.steps[place]))


def _last(curve: Curve | None) -> Best | None:
    if curve is None or len(curve.values) == 0 or not np.isfinite(curve.values[-1]):
        return None
    return Best(float(curve.values[-1]), int(curve.steps[-1]))
