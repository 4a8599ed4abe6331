"""Rule IN10: periods in validation metrics and the training loss, and splits that overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raytune_playbook.analysis.findings.curves.periodicity import LEVEL, periodicity
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.analysis.series.spectrum import strongest_period
from tests.analysis.findings.curves.cases import FINE, learns
from tests.analysis.findings.curves.shapes import PLAN, Shapes, falls, round_of

OVERLAP = "Splits must not overlap, but train holds 3 of the 1000 validation examples, so ...; remove them."


def period_of(steps, size=0.05):
    def shape(values, shares, rng):
        return falls(values, shares, rng) * (1 + size * np.sin(2 * np.pi * shares * 2000 / steps))

    return shape


@pytest.mark.parametrize(("steps", "is_epoch"), [(100, True), (160, False), (300, False)])
def test_in10_a_period_is_told_in_steps_and_whether_it_is_an_epoch(steps, is_epoch):
    """An epoch has 10,000 examples, 100 steps of 100."""
    (found,) = periodicity(round_of(0, Shapes(validation=period_of(steps)), FINE))
    assert found.status is Status.PROBLEM
    assert found.numbers["period_steps"] == pytest.approx(steps, rel=0.1)
    assert ("in time with the epochs of 100 steps" in found.sentence) is is_epoch
    assert found.numbers["probability_by_chance"] < LEVEL


def test_in10_epochs_are_recognized_in_evaluations_that_are_rarer():
    """Epochs of 100 steps, seen every 80: the evaluations go up and down every 5 of them, 400 steps."""
    plan = replace(FINE, evaluation_interval_steps=80, max_train_steps=8000)
    shape = lambda v, s, r: falls(v, s, r) * (1 + 0.05 * np.sin(2 * np.pi * s * 80))  # noqa: E731
    (found,) = periodicity(round_of(0, Shapes(validation=shape), plan))
    assert found.numbers["period_steps"] == pytest.approx(400, rel=0.05)
    assert "in time with the epochs" in found.sentence


def test_in10_a_period_of_the_training_loss_alone_is_worth_a_look():
    def every_epoch(values, shares, rng):
        return learns(values, shares, rng) * (1 + 0.1 * np.sin(2 * np.pi * shares * 20))

    (found,) = periodicity(round_of(0, Shapes(loss=every_epoch), FINE))
    assert found.status is Status.LOOK
    assert found.sentence.startswith("The training loss goes up and down every 100 steps, in time with the epochs")


def test_in10_noise_of_any_colour_has_no_period():
    """The stated level holds for one spectrum, on white noise and on noise that drifts."""
    rng = np.random.default_rng(0)
    for correlation in (0.0, 0.5, 0.9):
        alarms = 0
        for _ in range(2000):
            noise = rng.normal(size=(1, 120))
            for place in range(1, 120):
                noise[:, place] += correlation * noise[:, place - 1]
            alarms += strongest_period(noise).probability < 0.02
        assert alarms <= 60  # 40 are expected


def test_in10_batch_sizes_have_epochs_of_their_own():
    evidence = round_of(0, Shapes(validation=period_of(200)), FINE)
    trials = tuple(replace(t, values=t.values | {"batch_size": 50 if t.index % 2 else 150}) for t in evidence.trials)
    (found,) = periodicity(replace(evidence, trials=trials))
    assert "in time with the epochs of 200 steps, over 8 trials" in found.sentence


@pytest.mark.parametrize(
    ("overlaps", "status", "words"),
    [
        ((OVERLAP,), Status.PROBLEM, OVERLAP),
        ((OVERLAP.replace("validation", "test"),), Status.LOOK, "test examples"),
        ((), Status.PASSES, "Training and validation do not overlap."),
        (None, Status.PASSES, "was not looked for; `raytune-playbook preprocess` looks for it."),
    ],
)
def test_in10_overlaps_that_are_known_are_told(overlaps, status, words):
    evidence = round_of(0, Shapes(), FINE)
    (found,) = periodicity(replace(evidence, examples=evidence.examples.model_copy(update={"overlaps": overlaps})))
    assert found.status is status
    assert words in found.sentence


def test_in10_a_few_evaluations_cannot_tell():
    (found,) = periodicity(round_of(0, Shapes(), replace(PLAN, evaluation_interval_steps=100)))
    assert found.status is Status.CANNOT_TELL
