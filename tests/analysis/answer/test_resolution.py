"""How fine the objective can be told: examples, chance among them, and retraining."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from raytune_playbook.analysis.answer.resolution import (
    num_scored,
    retrain_variance,
    retrained_difference,
    smallest_told,
)
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves
from raytune_playbook.study.settings import Objective
from tests.analysis.findings.generated import Plan, generated


def counted(num_examples: int, num_validation_examples: int) -> Evidence:
    return generated(
        Plan(trials_per_arm=8, num_validation_examples=num_validation_examples),
        0,
        lambda values, rng: float(np.float32(int(rng.integers(0, num_examples)) / num_examples)),
    )


def test_ad2_an_error_counts_examples_and_a_loss_does_not():
    assert num_scored(counted(352, 352)) == 352
    assert num_scored(counted(351, 352)) is None
    loss = generated(Plan(trials_per_arm=8), 0, lambda values, rng: 0.3 + 0.1 * rng.normal())
    assert num_scored(loss) is None
    assert num_scored(replace(counted(352, 352), examples=None)) is None
    assert num_scored(generated(Plan(), 0, lambda values, rng: "NaN: loss")) is None


def test_ev5_where_evaluation_scores_a_sample_its_examples_count():
    evidence = counted(64, 352)
    about = {Evaluation("validation", "num_examples"): Curve(np.array([50]), np.array([64.0]))}
    trial = evidence.trials[0].id
    assert num_scored(evidence) is None
    assert num_scored(replace(evidence, curves={trial: TrialCurves(trial, {}, {}, {}, about)})) == 64


@pytest.mark.parametrize(("best", "num_examples"), [(5 / 352, 352), (0.0, 156), (0.3, 1000)])
def test_ad2_a_smaller_difference_is_chance_among_the_examples(best, num_examples):
    """An oracle: two models that err on examples of their own, at worst; tested by the exact binomial test."""
    told = round(smallest_told(best, num_examples, is_error=True) * num_examples)
    ones = round(best * num_examples)
    others = ones + told
    chance = sum(math.comb(ones + others, k) for k in range(ones + 1)) / 2 ** (ones + others)
    # Two standard errors are 1 in 44 in the normal approximation; the exact test is near it.
    assert 0.005 < chance < 0.07
    assert smallest_told(1 - best, num_examples, is_error=False) == pytest.approx(told / num_examples)


def test_ad1_retrain_variance_comes_from_repeats_alone():
    rng = np.random.default_rng(0)
    evidence = generated(Plan(trials_per_arm=4, num_repeats=200), 0, lambda values, _: 0.1 + 0.01 * rng.normal())
    known = retrain_variance(evidence)
    assert known.num_repeats == 200
    assert known.deviation == pytest.approx(0.01, rel=0.15)
    assert retrain_variance(generated(Plan(num_repeats=1), 0, lambda values, _: 0.1)) is None


def test_ad3_two_points_differ_by_their_repeats_where_both_have_some():
    plan = Plan(trials_per_arm=2, num_repeats=3)
    evidence = generated(plan, 0, lambda values, rng: 0.1)
    one, other = evidence.first_runs
    runs = [
        replace(trial, repeat=place, objective=value)
        for trial, values in ((one, (0.10, 0.11, 0.12)), (other, (0.20, 0.21, 0.22)))
        for place, value in enumerate(values, start=1)
    ]
    lucky = replace(other, objective=0.05)  # its first run, which does not count
    evidence = replace(evidence, trials=(one, lucky, *runs))
    assert retrained_difference(evidence, one, lucky) == pytest.approx((0.1, 0.01 * math.sqrt(2 / 3)))
    goal = replace(evidence, objective=Objective(goal="maximize"))
    assert retrained_difference(goal, one, lucky)[0] == pytest.approx(-0.1)
