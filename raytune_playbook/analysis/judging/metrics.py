"""Which metrics were measured, and what is to be said of an objective that was not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from raytune_playbook.analysis.series.curves import is_metric
from raytune_playbook.records.columns import SPLIT, TRAIN_STEPS_SPLIT
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.settings import Objective


def measured_metrics(measurements: pa.Table | None) -> dict[str, list[str]]:
    """By split, the metrics that at least one of its evaluations reports."""
    found: dict[str, list[str]] = {}
    if measurements is None:
        return found
    for split in sorted(set(measurements[SPLIT].to_pylist()) - {TRAIN_STEPS_SPLIT}):
        rows = measurements.filter(pc.equal(measurements[SPLIT], split))
        found[split] = [name for name in rows.column_names if is_metric(name) and rows[name].null_count < rows.num_rows]
    return found


def not_reported(objective: Objective, metrics: Mapping[str, Iterable[str]]) -> str | None:
    """A sentence where evaluations do not report an objective's metric, or None.

    Args:
        metrics: by split, those that they do report.
    """
    reported = sorted(name for name in metrics.get(objective.split, ()) if is_metric(name))
    if objective.metric in reported:
        return None
    otherwise = (
        "name one of them, or have Workload.metrics or set_metrics return it at every evaluation, as NaN while it has "
        "no value yet."
    )
    return (
        f"Objective.metric: evaluations of {objective.split!r} must report it, but they report "
        f"{', '.join(reported) or 'nothing'} and no {objective.metric!r}; "
        f"{did_you_mean(objective.metric, reported, otherwise)}"
    )


def why_not_judged(measurements: pa.Table | None, objective: Objective) -> tuple[Outcome, str]:
    """What a trial that was trained to its end is where it has no objective, and why.

    One whose objective was measured, but never as a finite number, is infeasible (rule IN3). Where it was not measured
    at all the workload does not report it: that is a bug, and says nothing of the trial's values.
    """
    absent = not_reported(objective, measured_metrics(measurements))
    if measurements is None or absent is not None:
        return Outcome.FAILED, absent or f"{objective.name} was not measured"
    rows = measurements.filter(pc.equal(measurements[SPLIT], objective.split)).sort_by("step")
    values = [value for value in rows[objective.metric].to_pylist() if value is not None]
    is_last = objective.over == "last"
    kind = "NaN" if any(math.isnan(value) for value in (values[-1:] if is_last else values)) else "infinity"
    return Outcome.INFEASIBLE, f"{kind}: {objective.name} {'at the last evaluation' if is_last else 'was never finite'}"
