"""Trials judged by another objective."""

from __future__ import annotations

import math

import pytest

from raytune_playbook.analysis.judging.objective import trial_objective
from raytune_playbook.analysis.judging.rejudging import curve_objective, rejudged
from raytune_playbook.analysis.series.curves import curves_of
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.columns import measurements_table
from raytune_playbook.study.settings import Objective

ROWS = [
    {"step": 1, "split": "step", "loss": 0.001},
    {"step": 10, "split": "validation", "loss": 0.7, "error": 0.2},
    {"step": 0, "split": "validation", "loss": 2.0, "error": 0.9},
    {"step": 10, "split": "train", "loss": 0.6, "error": 0.2},
    {"step": 20, "split": "validation", "loss": 0.5, "error": math.nan},
    {"step": 20, "split": "train", "loss": 0.2, "error": 0.2},
]


@pytest.mark.parametrize("split", ["validation", "train"])
@pytest.mark.parametrize("metric", ["loss", "error", "absent"])
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("over", ["best", "last"])
def test_qr5_curves_and_measurements_give_the_same_objective(split, metric, goal, over):
    objective = Objective(metric=metric, split=split, goal=goal, over=over)
    table = measurements_table(ROWS)
    assert curve_objective(curves_of(("a", "00000"), table), objective) == trial_objective(table, objective)


def test_without_curves_no_objective():
    assert curve_objective(None, Objective()) is None


def test_qr5_rejudged_trials_keep_their_outcomes():
    trials = [
        Trial("a", 0, outcome="completed", objective=0.2, best_step=10),
        Trial("a", 1, outcome="infeasible", reason="diverged"),
        Trial("a", 2, outcome="completed", objective=0.3, best_step=10),  # its measurements are lost
    ]
    curves = {trial.id: curves_of(trial.id, measurements_table(ROWS)) for trial in trials[:2]}
    by_loss = rejudged(trials, curves, Objective(metric="loss"))
    assert [(trial.objective, trial.best_step) for trial in by_loss] == [(0.5, 20), (None, None), (None, None)]
    assert [trial.outcome for trial in by_loss] == ["completed", "infeasible", "completed"]


def test_ck4_a_trial_that_was_stopped_early_has_no_best_step_by_any_objective():
    early = Trial("a", 0, outcome="completed", reason="stopped early at step 20 of 80", objective=0.2)
    curves = {early.id: curves_of(early.id, measurements_table(ROWS))}
    (by_loss,) = rejudged([early], curves, Objective(metric="loss"))
    assert (by_loss.objective, by_loss.best_step, by_loss.reason) == (0.5, None, early.reason)
