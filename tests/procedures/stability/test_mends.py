"""The choice of a warmup and of a clipping threshold (rules UN4 to UN7)."""

from __future__ import annotations

import numpy as np
import pytest

from raytune_playbook.analysis.series.curves import digest_of
from raytune_playbook.procedures.stability.judging import judged
from raytune_playbook.procedures.stability.mends import (
    best_of,
    first_threshold,
    longer_training,
    mend_of,
    recommended,
    shortest_stable,
    smaller_threshold,
)
from raytune_playbook.procedures.stability.parts import warmup_lengths
from raytune_playbook.study.settings import Objective
from tests.procedures.stability.cases import blows_up, part, stable

BEFORE = judged(part([stable(0.1, objective=0.2), blows_up(0.2, 30), blows_up(0.4, 10)]))


@pytest.mark.parametrize(
    ("max_train_steps", "lengths"),
    [
        (100_000, [10, 100, 1000, 10_000]),
        (10_000, [10, 100, 1000]),
        (300, [9, 30]),
        (60, [6]),
        (50, []),
    ],
)
def test_un4_warmups_span_orders_of_magnitude_up_to_a_tenth_of_training(max_train_steps, lengths):
    assert warmup_lengths(max_train_steps) == lengths
    assert all(10 * steps <= max_train_steps for steps in lengths)


def test_un4_no_warmup_is_tried_that_is_not_longer_than_the_present_one():
    assert warmup_lengths(10_000, present=100) == [1000]


def test_un4_the_shortest_stable_warmup_to_the_largest_learning_rate_is_chosen():
    study = {
        10: judged(part([stable(0.2), blows_up(1.0, 10), blows_up(2.0, 5)])),
        32: judged(part([stable(0.2), stable(1.0), blows_up(2.0, 5)])),
        100: judged(part([stable(0.2), stable(1.0), blows_up(2.0, 5)])),
    }
    found = shortest_stable(study)
    assert found is not None
    assert (found.steps, found.rate) == (32, 1.0)
    assert shortest_stable({10: judged(part([blows_up(0.2, 5)]))}) is None


def test_un5_a_warmup_of_more_than_a_twentieth_asks_for_longer_training():
    assert longer_training(50, 1000) is None
    assert longer_training(51, 1000) == 1020


def test_un6_the_threshold_starts_at_the_90th_percentile_of_the_norms_and_is_halved():
    norms = np.random.default_rng(0).lognormal(0, 1, 5000)
    digest = digest_of(np.arange(1, 5001), norms)
    first = first_threshold(digest, None)
    assert np.mean(norms > first) == pytest.approx(0.1, abs=0.002)
    assert smaller_threshold(first) == pytest.approx(first / 2, rel=0.01)
    assert first_threshold(digest, 1.0) == 0.5  # what is clipped there is not enough already


def test_un7_a_remedy_that_clips_most_updates_mends_nothing():
    norms = np.where(np.arange(400) % 10 < 6, 2.0, 0.5)  # six tenths of the norms are above 1
    clipped = judged(part([stable(rate, norms=norms) for rate in (0.1, 0.2, 0.4)], fixed={"clipping_norm": 1.0}))
    mend = mend_of("clipping_norm", 1.0, BEFORE, clipped, Objective())
    assert mend.widening == pytest.approx(4)
    assert mend.clipped == pytest.approx(0.6, abs=0.01)
    assert mend.is_lower_rate
    assert not mend.mends
    assert recommended([mend], Objective()) is None
    assert mend_of("clipping_norm", 3.0, BEFORE, clipped, Objective()).mends


def test_of_two_remedies_the_one_whose_best_training_is_better_is_recommended_and_of_equals_the_first():
    warm = mend_of("warmup_steps", 30, BEFORE, judged(part([stable(0.1), stable(0.2, objective=0.15)])), Objective())
    clip = mend_of("clipping_norm", 9, BEFORE, judged(part([stable(0.1), stable(0.2, objective=0.05)])), Objective())
    assert recommended([warm, clip], Objective()) is clip
    assert recommended([warm, clip], Objective(goal="maximize")) is warm
    same = mend_of("clipping_norm", 9, BEFORE, warm.sweep, Objective())
    assert recommended([warm, same], Objective()) is warm
    nothing = mend_of("warmup_steps", 30, BEFORE, BEFORE, Objective())
    assert nothing.widening == 1
    assert recommended([nothing], Objective()) is None


def test_the_best_training_is_the_one_with_the_best_checkpoint():
    sweep = judged(part([stable(0.1, objective=0.2), stable(0.2, objective=0.1), blows_up(0.4, 10)]))
    best = best_of(sweep, Objective())
    assert best is not None
    assert best.learning_rate == 0.2
    accurate = best_of(sweep, Objective(goal="maximize"))
    assert accurate is not None
    assert accurate.learning_rate == 0.1
    assert best_of(judged(part([blows_up(0.4, 10)])), Objective()) is None
