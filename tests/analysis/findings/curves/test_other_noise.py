"""Noise of other kinds than that of the cases raises few alarms about curves either."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.findings.curves.ends import training_ends
from raytune_playbook.analysis.findings.curves.instability import instability
from raytune_playbook.analysis.findings.curves.overfitting import overfitting
from raytune_playbook.analysis.findings.curves.periodicity import periodicity
from raytune_playbook.analysis.findings.finding import Status
from tests.analysis.findings.curves.cases import learns, norms
from tests.analysis.findings.curves.shapes import PLAN, TWO_ARMS, Shapes, round_of
from tests.analysis.findings.rates import is_open


@pytest.mark.parametrize(
    ("shapes", "plan"),
    [
        (Shapes(noise=1.0, correlation=0.0), replace(TWO_ARMS, num_validation_examples=350)),
        (Shapes(correlation=0.7), TWO_ARMS),
        (Shapes(correlation=0.7), replace(TWO_ARMS, num_validation_examples=350)),
        (Shapes(), replace(TWO_ARMS, evaluation_interval_steps=200)),
        (Shapes(), replace(PLAN, evaluation_interval_steps=10)),
    ],
    ids=["350 examples", "correlated noise", "350 examples and correlated noise", "11 evaluations", "201 evaluations"],
)
def test_other_noise_raises_few_alarms_either(shapes, plan):
    rounds = [round_of(seed, shapes, plan) for seed in range(60)]
    assert sum(overfitting(one)[0].status is Status.PROBLEM for one in rounds) <= 2
    assert sum(is_open(training_ends(one)) for one in rounds) <= 6
    assert sum(is_open(periodicity(one)) for one in rounds) <= 1


def test_un1_batches_that_differ_much_are_no_instability():
    rounds = [round_of(seed, Shapes(loss=learns, norm=norms, batch_noise=0.6)) for seed in range(40)]
    assert sum(is_open(instability(one)) for one in rounds) <= 2
