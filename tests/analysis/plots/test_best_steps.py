"""Rule IN14: the data of the plot of best steps."""

from __future__ import annotations

from dataclasses import replace

from raytune_playbook.analysis.plots.best_steps import best_steps
from raytune_playbook.analysis.series.curves import Curve, TrialCurves
from raytune_playbook.study.settings import Objective
from tests.analysis.findings.curves.shapes import TWO_ARMS, Shapes, round_of

EVIDENCE = round_of(0, Shapes(), TWO_ARMS)


def turned_over(curves: TrialCurves) -> TrialCurves:
    """What was small is large."""
    found = {evaluation: Curve(curve.steps, -curve.values) for evaluation, curve in curves.evaluations.items()}
    return replace(curves, evaluations=found)


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


def test_in14_a_trial_whose_length_or_best_step_is_not_known_is_left_out():
    first, second, *_ = (trial.id for trial in EVIDENCE.arms[0].ranked)
    unknown = {first: {"training": None}, second: {"best_step": None}}
    trials = tuple(replace(trial, **unknown.get(trial.id, {})) for trial in EVIDENCE.trials)
    for found, whole in zip(best_steps(replace(EVIDENCE, trials=trials)), best_steps(EVIDENCE), strict=True):
        kept = [pair for pair in zip(whole.trials, whole.shares, strict=True) if pair[0].id not in unknown]
        assert [trial.id for trial in found.trials] == [trial.id for trial, _ in kept]
        assert found.shares == tuple(share for _, share in kept)


def test_in14_a_metric_to_maximize_is_best_where_its_complement_is_lowest():
    last = replace(EVIDENCE, objective=Objective(over="last"))
    turned = replace(
        EVIDENCE,
        objective=Objective(over="last", goal="maximize"),
        trials=tuple(replace(trial, objective=-trial.objective) for trial in EVIDENCE.trials),
        curves={name: turned_over(curves) for name, curves in EVIDENCE.curves.items()},
    )
    assert [arm.shares for arm in best_steps(turned)] == [arm.shares for arm in best_steps(last)]
