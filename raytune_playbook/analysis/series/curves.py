"""Training curves: what was measured against the training step.

See the playbook's "Examining the training curves": training and validation error against step, for at least the best
few trials of every study (rule IN5); the loss and the gradient's norm of single steps show instabilities (rule UN2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.analysis.class_counts import NUM_CORRECT, NUM_OF_CLASS
from raytune_playbook.analysis.evaluation_sample import NUM_EXAMPLES, STANDARD_ERROR
from raytune_playbook.analysis.trials import TrialId
from raytune_playbook.records.columns import GRADIENT_NORM, LEARNING_RATE, LOSS, SPLIT, STEP, TRAIN_STEPS_SPLIT

DIGESTED = (LOSS, GRADIENT_NORM, LEARNING_RATE)
"""Of the columns of training steps those that are curves to look at; the others tell where time went."""

MAX_DIGEST_RUNS = 100
"""Into so many runs of steps a digest cuts a trial's training."""


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
class StepDigest:
    """What a metric of single training steps came to, from all steps of a trial.

    Fields:
        num_steps: at which it was measured, finite or not.
        num_not_finite: of them.
        quantiles: of its finite values at 0, 1, ..., 100 percent, of shape (101,); NaN without any.
        means: over at most `MAX_DIGEST_RUNS` runs of equal length, against their last step; of finite values.
    """

    num_steps: int
    num_not_finite: int
    quantiles: npt.NDArray[np.float64]
    means: Curve

    def share_above(self, threshold: float) -> float:
        """The share of the finite values that are larger, to within a hundredth."""
        return 1.0 - float(
            np.interp(threshold, self.quantiles, np.linspace(0, 1, len(self.quantiles)), left=0, right=1)
        )


@dataclass(frozen=True, eq=False)
class TrialCurves:
    """All curves of one trial.

    Fields:
        trial: which one.
        evaluations: metrics of every split that was evaluated, with all their points.
        steps: metrics of the training steps, such as ``loss`` and ``gradient_norm``; they may be thinned.
        digests: of the same metrics, from all steps.
        about: what was measured about metrics: counts of classes, numbers of examples and standard errors.
    """

    trial: TrialId
    evaluations: Mapping[Evaluation, Curve]
    steps: Mapping[str, Curve]
    digests: Mapping[str, StepDigest] = field(default_factory=dict)
    about: Mapping[Evaluation, Curve] = field(default_factory=dict)


def curves_of(trial: TrialId, measurements: pa.Table | None, *, max_step_points: int | None = None) -> TrialCurves:
    """The curves in one trial's measurements; a metric that was never measured on a split has none.

    Args:
        trial: whose measurements they are.
        measurements: None where there are none.
        max_step_points: thins the curves of single steps, see `thinned`; None keeps all points.
    """
    if measurements is None:
        return TrialCurves(trial, {}, {})
    evaluations: dict[Evaluation, Curve] = {}
    about: dict[Evaluation, Curve] = {}
    steps: dict[str, Curve] = {}
    digests: dict[str, StepDigest] = {}
    columns = _Columns(measurements)
    for split in sorted(columns.splits):
        for name, curve in columns.curves(split):
            if split != TRAIN_STEPS_SPLIT:
                (evaluations if is_metric(name) else about)[Evaluation(split, name)] = curve
            elif name in DIGESTED:
                steps[name] = curve if max_step_points is None else thinned(curve, max_step_points)
                digests[name] = digest_of(curve.steps, curve.values)
    return TrialCurves(trial, evaluations, steps, digests, about)


class _Columns:
    """A trial's measurements as arrays; rows are chosen by masks, which costs a tenth of doing so in Arrow."""

    def __init__(self, measurements: pa.Table) -> None:
        self._steps = measurements[STEP].to_numpy()
        encoded = pc.dictionary_encode(measurements[SPLIT]).combine_chunks()
        self._codes = encoded.indices.to_numpy(zero_copy_only=False)
        self.splits: list[str] = encoded.dictionary.to_pylist()
        names = [name for name in measurements.column_names if name not in (STEP, SPLIT)]
        self._columns = {name: measurements[name] for name in names}

    def curves(self, split: str) -> Iterator[tuple[str, Curve]]:
        """Each column that was measured on a split, against rising steps."""
        rows = np.flatnonzero(self._codes == self.splits.index(split))
        steps = self._steps[rows]
        if np.any(steps[1:] < steps[:-1]):
            order = np.argsort(steps, kind="stable")
            rows, steps = rows[order], steps[order]
        for name, column in self._columns.items():
            if split == TRAIN_STEPS_SPLIT and name not in DIGESTED:
                continue
            values = column.to_numpy()[rows]
            if not column.null_count:
                yield name, Curve(steps, values)
                continue
            valid = column.is_valid().to_numpy()[rows]  # a null is not a NaN that was measured
            if valid.all():
                yield name, Curve(steps, values)
            elif valid.any():
                yield name, Curve(steps[valid], values[valid])


def digest_of(steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> StepDigest:
    """What a metric of single steps came to.

    Args:
        steps: rising, of shape (num_steps,).
        values: of the same shape.
    """
    finite = np.isfinite(values)
    kept = values[finite]
    places = np.linspace(0, len(kept) - 1, 101)
    # As `numpy.quantile` has them, in a fifth of its time.
    quantiles = np.interp(places, np.arange(len(kept)), np.sort(kept)) if len(kept) else np.full(101, np.nan)
    run_length = max(1, -(-len(kept) // MAX_DIGEST_RUNS))
    starts = np.arange(0, len(kept), run_length)
    ends = np.minimum(starts + run_length, len(kept))
    means = np.add.reduceat(kept, starts) / (ends - starts) if len(kept) else kept
    return StepDigest(len(values), int(len(values) - len(kept)), quantiles, Curve(steps[finite][ends - 1], means))


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
