"""Which trainings are unstable, from when on, and how wide the stable range is (rules IN3, IN4, UN1 and UN8)."""

from __future__ import annotations

import numpy as np
import pytest

from raytune_playbook.analysis.series.curves import Curve
from raytune_playbook.procedures.stability.judging import (
    Instability,
    judged,
    largest_stable,
    learning,
    loss_of,
    unstable_rate,
    widening,
)
from tests.procedures.stability.cases import START, Training, blows_up, dead, learns, part, stable


def test_un1_the_unstable_rate_is_the_smallest_that_is_unstable_whatever_the_order_of_the_sweep():
    sweep = judged(part([blows_up(0.8, 20), stable(0.1), stable(0.05), blows_up(0.2, 30), blows_up(0.4, 10)]))
    assert [one.learning_rate for one in sweep] == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert [one.is_stable for one in sweep] == [True, True, False, False, False]
    unstable = unstable_rate(sweep)
    assert unstable is not None
    assert unstable.learning_rate == 0.2
    assert unstable.seen == "NaN: training loss at step 34"
    assert largest_stable(sweep) == 0.1


def test_un1_a_stable_rate_above_an_unstable_one_does_not_widen_the_range():
    sweep = judged(part([stable(0.1), blows_up(0.2, 30), stable(0.4)]))
    assert largest_stable(sweep) == 0.1
    assert unstable_rate(judged(part([stable(0.1), stable(0.2)]))) is None
    assert largest_stable(judged(part([blows_up(0.1, 10), stable(0.2)]))) is None


@pytest.mark.parametrize(
    ("at_step", "when"),
    [(3, Instability.EARLY), (90, Instability.EARLY), (150, Instability.MID), (390, Instability.MID)],
)
def test_un8_early_and_mid_training_instability_are_told_apart_by_the_step(at_step, when):
    one = judged(part([stable(0.1), blows_up(0.2, at_step)]))[1]
    assert one.instability is when  # of 400 steps the first quarter is early


def test_un8_a_rise_in_the_middle_that_recovers_is_mid_training_instability():
    loss = learns(400)
    loss[250:270] += 1.5
    sweep = judged(part([stable(0.1), Training(0.2, loss, np.ones(400))]))
    assert sweep[1].instability is Instability.MID
    assert "its loss rises" in sweep[1].seen


def test_un3_a_bad_start_that_recovers_is_early_instability():
    loss = learns(400)
    loss[5:15] = 4 * START
    sweep = judged(part([Training(0.2, loss, np.ones(400))]))
    assert sweep[0].instability is Instability.EARLY
    assert sweep[0].objective == 0.1  # it came to its end all the same


def test_in4_spikes_of_gradients_are_instability_unless_they_are_clipped():
    norms = np.ones(400)
    norms[300] = 50.0
    assert judged(part([stable(0.2, norms=norms)]))[0].instability is Instability.MID
    assert judged(part([stable(0.2, norms=norms)], fixed={"clipping_norm": 1.0}))[0].is_stable


def test_in4_a_network_that_no_longer_learns_is_unstable_though_nothing_jumps():
    evidence = part([stable(0.1), dead(0.4), dead(0.8, from_step=40), dead(1.0, from_step=300)])
    reference = loss_of(judged(evidence)[0])
    assert judged(evidence)[1].is_stable  # by jumps alone
    found = judged(evidence, reference=reference)
    assert found[0].is_stable
    assert found[1].instability is Instability.EARLY
    assert "does not learn" in found[1].seen
    assert not found[2].is_stable
    assert found[3].instability is Instability.MID


def test_in4_a_slow_training_is_no_unstable_one():
    slow = learns(400, 7, end=1.5)  # of what the best learns it learns two fifths
    evidence = part([stable(0.1), Training(0.05, slow, np.ones(400))])
    reference = loss_of(judged(evidence)[1])
    assert all(one.is_stable for one in judged(evidence, reference=reference))


def test_what_is_learned_is_measured_over_as_many_steps():
    steps = np.arange(1, 101)
    reference = Curve(steps, 2.0 - steps / 100)  # falls by 1 in 100 steps
    half = Curve(steps[:50], 2.0 - steps[:50] / 200)
    found = learning(half, reference)
    assert found is not None
    assert found.share == pytest.approx(0.5, abs=0.03)
    assert learning(Curve(steps[:5], np.full(5, 2.0)), reference) is None  # too early to tell
    assert learning(Curve(steps[:0], np.zeros(0)), reference) is None


def test_trainings_that_failed_for_another_reason_are_left_out():
    out_of_memory = Training(0.2, learns(400)[:3], np.ones(3), None, "out of memory: 3 GiB")
    assert [one.learning_rate for one in judged(part([stable(0.1), out_of_memory]))] == [0.1]


def test_un4_the_steps_of_a_warmup_belong_to_the_training():
    warm = blows_up(0.2, 120)
    assert judged(part([warm]))[0].instability is Instability.MID
    assert judged(part([warm], fixed={"warmup_steps": 200}))[0].instability is Instability.EARLY


def test_widening_is_the_ratio_of_the_largest_stable_learning_rates():
    before = judged(part([stable(0.1), stable(0.2), blows_up(0.4, 30)]))
    after = judged(part([stable(0.1), stable(0.2), stable(0.4), stable(0.8)]))
    assert widening(before, after) == pytest.approx(4)
    assert widening(judged(part([blows_up(0.1, 10)])), after) is None
