"""What a trial is worth, by any objective and at any time (rules QR5 and IN13).

The playbook wants the best value over training as a trial's objective ("The validation objective value for each trial
should usually be the best value it achieved over the course of training"), and an exploration whose objective can be
changed after the fact, without a new run. Both follow from measurements that are kept whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.study.settings import Objective


class Best(NamedTuple):
    """A trial's objective, and the step at which it was reached."""

    value: float
    step: int


def best_of(steps: Sequence[int], values: Sequence[float | None], objective: Objective) -> Best | None:
    """The objective of one trial from its evaluations, in any order.

    Args:
        steps: of shape (num_evaluations,).
        values: of the objective's metric on its split, of the same shape; None where it was not measured.
        objective: says which value counts. Ties go to the earliest step.

    Returns:
        None where nothing finite was measured; by the last value (``over="last"``), where that one is not finite.
    """
    measured = sorted((step, value) for step, value in zip(steps, values, strict=True) if value is not None)
    if objective.over == "last":
        measured = measured[-1:]
    best: Best | None = None
    for step, value in measured:
        # A NaN or an infinity is no performance: the trial is judged by the model it had before.
        if math.isfinite(value) and (best is None or objective.is_better(value, best.value)):
            best = Best(value, step)
    return best


def trial_objective(measurements: pa.Table | None, objective: Objective) -> Best | None:
    """The same from a measurements table; None where the trial has no such metric."""
    if measurements is None or objective.metric not in measurements.column_names:
        return None
    rows = measurements.filter(pc.equal(measurements["split"], objective.split))
    return best_of(rows["step"].to_pylist(), rows[objective.metric].to_pylist(), objective)
