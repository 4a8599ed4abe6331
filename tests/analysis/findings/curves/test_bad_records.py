"""Whatever the records hold, questions about curves are answered in sentences, and by the objective's direction."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.curves.best_step_shares import best_step_shares
from raytune_playbook.analysis.findings.curves.clipping import clipping
from raytune_playbook.analysis.findings.curves.ends import training_ends
from raytune_playbook.analysis.findings.curves.instability import instability
from raytune_playbook.analysis.findings.curves.late_variance import late_variance
from raytune_playbook.analysis.findings.curves.overfitting import overfitting
from raytune_playbook.analysis.findings.curves.periodicity import periodicity
from raytune_playbook.analysis.findings.curves.rising_loss import rising_loss
from raytune_playbook.analysis.findings.curves.waiting import waiting
from raytune_playbook.analysis.findings.curves.warmup import warmup
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.analysis.series.curves import Curve, Evaluation, TrialCurves, digest_of
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.settings import Objective
from tests.analysis.findings.curves.cases import (
    FINE,
    best_early,
    jumps,
    learns,
    norms,
    overfits,
    saturates_early,
    with_period,
)
from tests.analysis.findings.curves.shapes import PLAN, TWO_ARMS, Shapes, falls, keeps_improving, round_of

DETECTORS = (
    instability,
    clipping,
    warmup,
    overfitting,
    late_variance,
    training_ends,
    rising_loss,
    periodicity,
    best_step_shares,
    waiting,
)


def changed(evidence: Evidence, change) -> Evidence:
    """With all curves' values changed, those of digests too."""

    def of(curve: Curve) -> Curve:
        return Curve(curve.steps, np.asarray(change(curve.values.copy()), dtype=float))

    curves = {}
    for id_, old in evidence.curves.items():
        steps = {name: of(curve) for name, curve in old.steps.items()}
        digests = {name: digest_of(curve.steps, curve.values) for name, curve in steps.items()}
        evaluations = {name: of(curve) for name, curve in old.evaluations.items()}
        curves[id_] = TrialCurves(id_, evaluations, steps, digests)
    return replace(evidence, curves=curves)


def cut(evidence: Evidence, num_points: int) -> Evidence:
    """With so many points left of each curve."""
    curves = {}
    for id_, old in evidence.curves.items():
        steps = {name: Curve(c.steps[:num_points], c.values[:num_points]) for name, c in old.steps.items()}
        evaluations = {name: Curve(c.steps[:num_points], c.values[:num_points]) for name, c in old.evaluations.items()}
        digests = {name: digest_of(curve.steps, curve.values) for name, curve in steps.items()}
        curves[id_] = TrialCurves(id_, evaluations, steps, digests)
    return replace(evidence, curves=curves)


def every_seventh(value: float):
    def change(values):
        values[3::7] = value
        return values

    return change


WHOLE = round_of(0, Shapes(loss=learns, norm=norms), TWO_ARMS)
TRIALS = WHOLE.trials
INFEASIBLE = tuple(replace(trial, outcome=Outcome.INFEASIBLE, reason="NaN: loss", objective=None) for trial in TRIALS)
RUNNING = tuple(replace(trial, outcome=None, objective=None, training=None) for trial in TRIALS)
RECORDS = {
    "nothing at all": Evidence((), Objective(), ()),
    "no trials": replace(WHOLE, trials=(), curves={}),
    "no curves": replace(WHOLE, curves={}),
    "one trial": replace(WHOLE, trials=WHOLE.trials[:1]),
    "all infeasible": replace(WHOLE, trials=INFEASIBLE),
    "trials still running": replace(WHOLE, trials=RUNNING),
    "values not recorded": replace(WHOLE, trials=tuple(replace(t, values={}, training=None) for t in WHOLE.trials)),
    "examples not known": replace(WHOLE, examples=None),
    "no points": cut(WHOLE, 0),
    "one evaluation": cut(WHOLE, 1),
    "two evaluations": cut(WHOLE, 2),
    "eight evaluations": cut(WHOLE, 8),
    "a constant metric": changed(WHOLE, lambda values: 0 * values + 0.25),
    "zero everywhere": changed(WHOLE, lambda values: 0 * values),
    "below zero": changed(WHOLE, lambda values: -values - 3),
    "some NaN": changed(WHOLE, every_seventh(math.nan)),
    "some infinity": changed(WHOLE, every_seventh(math.inf)),
    "some far off": changed(WHOLE, every_seventh(1e300)),
    "NaN alone": changed(WHOLE, lambda values: values * math.nan),
    "far off alone": changed(WHOLE, lambda values: values * 1e90),
    "another metric": replace(WHOLE, objective=Objective(metric="f1")),
    "large is good": replace(WHOLE, objective=Objective(goal="maximize")),
    "the last value": replace(WHOLE, objective=Objective(over="last")),
    "judged in training": replace(WHOLE, objective=Objective(split="train")),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("records", RECORDS)
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.__name__)
def test_in16_any_records_get_a_sentence(detector, records):
    findings = detector(RECORDS[records])
    assert len({finding.question for finding in findings}) == 1
    for finding in findings:
        assert finding.sentence.endswith(".")
        assert not re.search(r"\b[A-Z]{2}\d+\b|nan|None|inf\b", finding.sentence)
        assert all(math.isfinite(number) for number in finding.numbers.values())
        assert finding.withholds <= (finding.status is Status.PROBLEM)


@pytest.mark.parametrize("detector", [overfitting, late_variance, training_ends, periodicity, instability, rising_loss])
def test_without_curves_nobody_can_tell(detector):
    assert [finding.status for finding in detector(RECORDS["no curves"])] == [Status.CANNOT_TELL]


@pytest.mark.parametrize(
    ("detector", "shapes", "plan"),
    [
        (overfitting, Shapes(validation=overfits), TWO_ARMS),
        (late_variance, Shapes(validation=falls, noise=8.0, correlation=0.0), TWO_ARMS),
        (training_ends, Shapes(validation=keeps_improving, training=keeps_improving), PLAN),
        (training_ends, Shapes(validation=saturates_early, training=saturates_early), PLAN),
        (periodicity, Shapes(validation=with_period), FINE),
        (best_step_shares, Shapes(validation=best_early), PLAN),
        (instability, Shapes(loss=jumps), PLAN),
    ],
)
def test_in13_a_metric_that_should_be_large_gets_the_same_answers(detector, shapes, plan):
    """An accuracy is what its error leaves, so that every answer about it is the same."""
    errors = round_of(3, shapes, plan)
    curves = {}
    for id_, old in errors.curves.items():
        found = {name: c for name, c in old.evaluations.items() if name.metric != "error"}
        found |= {
            Evaluation(split, "accuracy"): Curve(c.steps, 1 - c.values)
            for (split, metric), c in old.evaluations.items()
            if metric == "error"
        }
        curves[id_] = replace(old, evaluations=found)
    trials = tuple(replace(t, objective=None if t.objective is None else 1 - t.objective) for t in errors.trials)
    accuracies = replace(errors, objective=Objective(metric="accuracy", goal="maximize"), curves=curves, trials=trials)
    expected, found = detector(errors), detector(accuracies)
    assert [(f.status, f.trials, f.withholds, f.proposal) for f in found] == [
        (f.status, f.trials, f.withholds, f.proposal) for f in expected
    ]
