"""Training curves: what was measured against the training step.

See the playbook's "Examining the training curves": training and validation error against step, for at least the best
few trials of every study (rule IN5); the loss and the gradient's norm of single steps show instabilities (rule UN2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.analysis.class_counts import NUM_CORRECT, NUM_OF_CLASS
from raytune_playbook.analysis.evaluation_sample import NUM_EXAMPLES, STANDARD_ERROR
from raytune_playbook.analysis.trials import TrialId
from raytune_playbook.records.columns import TRAIN_STEPS_SPLIT


class Evaluation(NamedTuple):
    """What was evaluated, such as ``("validation", "error")``."""

    split: str
    metric: str


@dataclass(frozen=True, eq=False)
class Curve:
    """A metric against step; ``steps`` rise, ``values`` may hold NaN and infinities, both of shape (num_points,)."""

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrialCurves:
    """All curves of one trial.

    Fields:
        trial: which one.
        evaluations: metrics of every split that was evaluated.
        steps: metrics of the training steps, such as ``loss`` and ``gradient_norm``.
    """

    trial: TrialId
    evaluations: Mapping[Evaluation, Curve]
    steps: Mapping[str, Curve]


def curves_of(trial: TrialId, measurements: pa.Table | None, *, max_points: int | None = None) -> TrialCurves:
    """The curves in one trial's measurements; a metric that was never measured on a split has none.

    Args:
        trial: whose measurements they are.
        measurements: None where there are none.
        max_points: thins each curve, see `thinned`; None keeps all points.
    """
    evaluations: dict[Evaluation, Curve] = {}
    steps: dict[str, Curve] = {}
    if measurements is None:
        return TrialCurves(trial, evaluations, steps)
    for split in sorted(measurements["split"].unique().to_pylist()):
        rows = measurements.filter(pc.equal(measurements["split"], split)).sort_by("step")
        for metric in rows.column_names:
            if not is_metric(metric) or rows[metric].null_count == rows.num_rows:
                continue
            valid = rows.filter(pc.is_valid(rows[metric]))
            curve = Curve(valid["step"].to_numpy(), valid[metric].to_numpy())
            if max_points is not None:
                curve = thinned(curve, max_points)
            if split == TRAIN_STEPS_SPLIT:
                steps[metric] = curve
            else:
                evaluations[Evaluation(split, metric)] = curve
    return TrialCurves(trial, evaluations, steps)


def thinned(curve: Curve, max_points: int) -> Curve:
    """The curve with at most ``max_points`` (4 or more) of its own points, spikes kept.

    The points are cut into runs of equal length, of each of which the lowest and the highest stay; so do the ends.
    """
    num_points = len(curve.steps)
    if num_points <= max_points:
        return curve
    num_runs = (max_points - 2) // 2
    run_length = -(-num_points // num_runs)
    padded = np.full(num_runs * run_length, np.nan)
    padded[:num_points] = curve.values
    runs = padded.reshape(num_runs, run_length)
    starts = np.arange(num_runs) * run_length
    lowest = starts + np.where(np.isnan(runs), np.inf, runs).argmin(axis=1)
    highest = starts + np.where(np.isnan(runs), -np.inf, runs).argmax(axis=1)
    chosen = np.unique(np.concatenate([[0, num_points - 1], lowest, highest]))
    chosen = chosen[chosen < num_points]  # a last run of nothing but padding
    return Curve(curve.steps[chosen], curve.values[chosen])


def metrics_at(measurements: pa.Table | None, step: int | None) -> dict[Evaluation, float]:
    """What the evaluation at one step measured, the training split first."""
    if measurements is None or step is None:
        return {}
    rows = measurements.filter(pc.equal(measurements["step"], step)).to_pylist()
    return {
        Evaluation(row["split"], metric): value
        for row in sorted(rows, key=lambda row: row["split"])
        if row["split"] != TRAIN_STEPS_SPLIT
        for metric, value in row.items()
        if is_metric(metric) and value is not None
    }


def is_metric(column: str) -> bool:
    """Whether a column is one to compare: counts and standard errors are about others."""
    return column not in ("step", "split", NUM_EXAMPLES) and not column.startswith(
        (NUM_CORRECT, NUM_OF_CLASS, STANDARD_ERROR)
    )
