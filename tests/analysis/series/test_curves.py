"""Training curves."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from raytune_playbook.analysis.series.curves import Curve, curves_of, is_metric, metrics_at, thinned
from raytune_playbook.records.columns import measurements_table

ROWS = [
    {"step": 0, "split": "validation", "error": 0.9, "loss": 2.0},
    {"step": 2, "split": "validation", "error": 0.4, "loss": float("nan")},
    {"step": 0, "split": "train", "error": 0.8},
    {"step": 2, "split": "train", "error": 0.3},
    {"step": 2, "split": "step", "loss": 1.5, "gradient_norm": 3.5},
    {"step": 1, "split": "step", "loss": 2.5, "gradient_norm": 4.5},
]


def points(curve: Curve) -> list[tuple[int, float]]:
    return list(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))


def test_in5_curves_of_every_split_and_metric_that_was_measured():
    curves = curves_of(("a", "00000"), measurements_table(ROWS))
    assert set(curves.evaluations) == {("train", "error"), ("validation", "error"), ("validation", "loss")}
    assert points(curves.evaluations["validation", "error"]) == [(0, 0.9), (2, 0.4)]
    assert points(curves.evaluations["train", "error"]) == [(0, 0.8), (2, 0.3)]
    assert np.isnan(curves.evaluations["validation", "loss"].values[1])


def test_un2_loss_and_gradient_norm_of_single_steps_in_order():
    curves = curves_of(("a", "00000"), measurements_table(ROWS))
    assert points(curves.steps["loss"]) == [(1, 2.5), (2, 1.5)]
    assert points(curves.steps["gradient_norm"]) == [(1, 4.5), (2, 3.5)]


def test_no_measurements_no_curves():
    for table in (None, measurements_table([])):
        curves = curves_of(("a", "00000"), table)
        assert (curves.evaluations, curves.steps) == ({}, {})


def by_arrow(table: pa.Table) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """The points of every split and column that was measured, by Arrow's own filters and sorting: an oracle."""
    found = {}
    for split in table["split"].unique().to_pylist():
        rows = table.filter(pc.equal(table["split"], split)).sort_by("step")
        for name in rows.column_names[2:]:
            valid = rows.filter(pc.is_valid(rows[name]))
            if valid.num_rows:
                found[split, name] = list(zip(valid["step"].to_pylist(), valid[name].to_pylist(), strict=True))
    return found


def random_rows(seed: int) -> list[dict[str, float | int | str | None]]:
    """Rows of three splits in any order, with metrics that some of them lack, or that are not finite."""
    rng = random.Random(seed)
    metrics = ["loss", "gradient_norm", "learning_rate", "error", "num_examples", "standard_error.error", "wait_s"]
    return [
        {"step": rng.randrange(30), "split": rng.choice(["step", "train", "validation_average"])}
        | {name: rng.choice([rng.random(), math.nan, math.inf, None]) for name in rng.sample(metrics, 4)}
        for _ in range(rng.choice([1, 5, 60]))
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("num_chunks", [1, 3])
def test_all_points_are_those_that_arrow_finds(seed, num_chunks):
    whole = measurements_table(random_rows(seed))
    cuts = [whole.num_rows * place // num_chunks for place in range(num_chunks + 1)]
    table = pa.concat_tables([whole.slice(begin, end - begin) for begin, end in itertools.pairwise(cuts)])
    curves = curves_of(("a", "00000"), table)
    found = dict(curves.evaluations) | dict(curves.about) | {("step", name): of for name, of in curves.steps.items()}
    times = {("step", name) for name in table.column_names if name not in ("loss", "gradient_norm", "learning_rate")}
    expected = {key: of for key, of in by_arrow(table).items() if key not in times}
    assert {key: repr(points(curve)) for key, curve in found.items()} == {key: repr(of) for key, of in expected.items()}
    assert all(is_metric(metric) for _, metric in curves.evaluations)
    assert not any(is_metric(metric) for _, metric in curves.about)


def test_steps_are_thinned_and_digested_from_all_of_them():
    losses = np.random.default_rng(0).normal(size=1000)
    rows = [{"step": step, "split": "step", "loss": float(loss)} for step, loss in enumerate(losses)]
    curves = curves_of(("a", "00000"), measurements_table(rows), max_step_points=100)
    assert len(curves.steps["loss"].steps) <= 100
    assert curves.digests["loss"].num_steps == 1000
    np.testing.assert_allclose(
        curves.digests["loss"].quantiles, np.quantile(losses, np.linspace(0, 1, 101)), rtol=1e-12
    )


def test_thinned_keeps_ends_and_spikes():
    values = np.zeros(10_001)
    values[[137, 7_777]] = 50.0, -50.0
    values[400:450] = np.nan
    thin = thinned(Curve(np.arange(10_001), values), 100)
    assert len(thin.steps) <= 100
    assert (thin.steps[0], thin.steps[-1]) == (0, 10_000)
    assert {137, 7_777} <= set(thin.steps.tolist())
    assert np.array_equal(thin.values, values[thin.steps], equal_nan=True)
    assert np.all(np.diff(thin.steps) > 0)


def test_thinned_leaves_short_curves_and_any_length_in_bounds():
    for length in range(1, 60):
        curve = Curve(np.arange(length), np.random.default_rng(length).normal(size=length))
        thin = thinned(curve, 12)
        assert len(thin.steps) <= 12
        assert thin is curve if length <= 12 else thin.steps[-1] == length - 1


def test_metrics_at_a_step():
    table = measurements_table(ROWS)
    assert metrics_at(table, 0) == {("train", "error"): 0.8, ("validation", "error"): 0.9, ("validation", "loss"): 2.0}
    assert metrics_at(table, 1) == {}
    assert metrics_at(None, 1) == {}
    assert metrics_at(table, None) == {}


def test_ev6_counts_and_standard_errors_are_no_curves_of_their_own():
    columns = {"step": [0], "split": ["validation"], "error": [0.5], "standard_error.error": [0.1]}
    columns |= {"num_examples": [9.0], "num_correct.rare": [1.0], "num_examples.rare": [2.0]}
    measurements = pa.table(columns)
    assert set(curves_of(("all", "00000"), measurements).evaluations) == {("validation", "error")}
    assert metrics_at(measurements, 0) == {("validation", "error"): 0.5}
