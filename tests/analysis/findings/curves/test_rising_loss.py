"""Whose fault a rising training loss is (rule IN9): the pipeline's, or that of steps that are too large."""

from __future__ import annotations

import pytest

from raytune_playbook.analysis.findings.curves.rising_loss import rising_loss
from raytune_playbook.analysis.findings.finding import Status
from tests.analysis.findings.curves.cases import learns, loss_rises
from tests.analysis.findings.curves.shapes import Shapes, number, round_of


def above(rate_of, limit):
    """The loss rises where a rate of the trial exceeds a limit."""

    def loss(values, shares, rng):
        return (loss_rises if rate_of(values) > limit else learns)(values, shares, rng)

    return loss


def learning_rate(values):
    return number(values, "learning_rate")


def summed_rate(values):
    return number(values, "learning_rate") / (1 - number(values, "momentum"))


@pytest.mark.parametrize(
    ("rate_of", "limit", "name"),
    [(learning_rate, 0.5, "learning rate"), (summed_rate, 5.0, "learning_rate / (1 - momentum)")],
)
def test_in9_a_loss_that_rises_where_steps_are_too_large_is_no_bug(rate_of, limit, name):
    said = 0
    for seed in range(20):
        evidence = round_of(seed, Shapes(loss=above(rate_of, limit)))
        rates = {trial.id: rate_of(trial.values) for trial in evidence.trials}
        (finding,) = rising_loss(evidence)
        rising = [trial for trial, rate in rates.items() if rate > limit]
        assert sorted(finding.trials) == sorted(rising)
        if rates[evidence.ranked[0].id] > limit or len(rising) > len(rates) / 4:
            continue  # then the best are among them, or they are not few
        assert finding.status is Status.PASSES
        said += bool(rising) and f"with a {name} " in finding.sentence
    assert said >= 5


def test_in9_a_loss_that_rises_at_any_rate_is_a_bug():
    for seed in range(20):
        (finding,) = rising_loss(round_of(seed, Shapes(loss=loss_rises)))
        assert finding.status is Status.PROBLEM
        assert "whatever their learning rates" in finding.sentence
