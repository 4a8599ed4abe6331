"""Rule IN14: the data of the plot of best steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.plots.best_steps import best_steps
from raytune_playbook.study.settings import Objective
from tests.analysis.findings.curves.shapes import TWO_ARMS, Shapes, round_of

EVIDENCE = round_of(0, Shapes(), TWO_ARMS)


def test_in14_each_arm_has_the_share_of_training_at_which_each_trial_was_best():
    arms = best_steps(EVIDENCE)
    assert [(arm.study, arm.values) for arm in arms] == [("depth=20", {"depth": 20}), ("depth=50", {"depth": 50})]
    for found, arm in zip(arms, EVIDENCE.arms, strict=True):
        assert found.trials == arm.ranked
        assert found.shares == tuple(trial.best_step / 2000 for trial in arm.ranked)


def test_in14_where_the_last_value_counts_the_curves_tell_when_it_was_best():
    """The record's best step is the last one then."""
    trials = tuple(replace(trial, best_step=2000) for trial in EVIDENCE.trials)
    last = replace(EVIDENCE, trials=trials, objective=Objective(over="last"))
    assert [arm.shares for arm in best_steps(last)] == [arm.shares for arm in best_steps(EVIDENCE)]
    assert [arm.shares for arm in best_steps(replace(last, curves={}))] == [(), ()]


def test_in14_warmup_is_a_part_of_training():
    trials = tuple(
        replace(trial, best_step=1250, training=replace(trial.training, num_steps=2500)) for trial in EVIDENCE.trials
    )
    assert {share for arm in best_steps(replace(EVIDENCE, trials=trials)) for share in arm.shares} == {0.5}
    unknown = tuple(replace(trial, best_step=1500, training=None) for trial in EVIDENCE.trials)
    shares = [share for arm in best_steps(replace(EVIDENCE, trials=unknown)) for share in arm.shares]
    assert shares == pytest.approx([0.75] * 20)
