"""Which metrics were measured, and what is said of an objective that was not."""

from __future__ import annotations

import math

import pytest

from raytune_playbook.analysis.judging.metrics import measured_metrics, not_reported, why_not_judged
from raytune_playbook.records.columns import measurements_table
from raytune_playbook.study.settings import Objective


def scored(step: int, split: str = "validation", **metrics: float | None) -> dict[str, object]:
    return {"step": step, "split": split, **metrics}


STEP = scored(1, "step", loss=1.0, gradient_norm=2.0)


def test_a_metric_is_what_an_evaluation_of_that_split_reports_at_least_once():
    rows = [STEP, scored(0, error=0.5), scored(2, error=0.4, score=4.0), scored(2, "train", loss=math.nan)]
    rows[1] |= {"num_examples": 40.0, "standard_error.error": 0.1, "num_correct.rare": 3.0}
    assert measured_metrics(measurements_table(rows)) == {"train": ["loss"], "validation": ["error", "score"]}
    assert measured_metrics(None) == {}


@pytest.mark.parametrize(
    ("metric", "split", "words"),
    [
        ("accuracy", "validation", "report error, loss and no 'accuracy'; name one of them, or have Workload.metrics"),
        ("eror", "validation", "report error, loss and no 'eror'; did you mean 'error'?"),
        ("error", "train", "evaluations of 'train' must report it, but they report loss and no 'error'"),
    ],
)
def test_an_objective_that_is_not_reported_is_told_with_what_is(metric, split, words):
    metrics = {"validation": {"loss": 1.0, "error": 0.5, "num_examples": 3.0}, "train": ["loss"]}
    assert words in not_reported(Objective(metric=metric, split=split), metrics)
    assert not_reported(Objective(metric="loss", split=split), metrics) is None


@pytest.mark.parametrize(
    ("values", "over", "outcome", "reason"),
    [
        ([math.nan, None, math.nan], "best", "infeasible", "NaN: validation score was never finite"),
        ([math.inf, -math.inf], "best", "infeasible", "infinity: validation score was never finite"),
        ([2.0, math.inf], "last", "infeasible", "infinity: validation score at the last evaluation"),
        ([math.nan, None, math.inf], "last", "infeasible", "infinity: validation score at the last evaluation"),
        ([None, None], "best", "failed", "Objective.metric: evaluations of 'validation' must report it"),
    ],
)
def test_in3_an_absent_value_is_never_called_not_a_number(values, over, outcome, reason):
    rows = [STEP, *(scored(step, error=0.5, score=value) for step, value in enumerate(values))]
    found = why_not_judged(measurements_table(rows), Objective(metric="score", over=over))
    assert (found[0], found[1].startswith(reason)) == (outcome, True)
    assert why_not_judged(None, Objective())[0] == "failed"
