"""Rules BA5 and BA6 on steps that follow a known law."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from raytune_playbook.procedures.batch_size.scaling import (
    PERFECT,
    Regime,
    Steps,
    StepScaling,
    chance,
    costs,
    least,
    steps_of,
)

SIZES = (16, 32, 64, 128, 256, 512, 1024)


def scaling_of(law: Callable[[int], float | None], interval: int = 1) -> StepScaling:
    def of(size: int) -> Steps:
        steps = law(size)
        return steps_of(size, [None if steps is None else math.ceil(steps)] * 3)

    return StepScaling(tuple(map(of, SIZES)), interval)


def test_ba6_perfect_scaling_has_no_critical_batch_size_among_its_sizes():
    scaling = scaling_of(lambda size: 2**16 / size)
    assert list(scaling.regimes.values()) == [Regime.SMALLEST, *[Regime.PERFECT] * (len(SIZES) - 1)]
    assert (scaling.critical, scaling.is_critical_seen) == (1024, False)
    assert [scaling.perfect_steps(size) for size in SIZES] == [2**16 / size for size in SIZES]


def test_ba6_steps_that_no_longer_fall_have_all_three_regimes():
    """Never fewer than 200 steps, and half the fall between 512 and 256."""
    steps = {16: 4096, 32: 2048, 64: 1024, 128: 512, 256: 400, 512: 300, 1024: 300}
    scaling = scaling_of(steps.__getitem__)
    assert list(scaling.regimes.values()) == [
        Regime.SMALLEST,
        *[Regime.PERFECT] * 3,
        *[Regime.DIMINISHING] * 2,
        Regime.NO_FEWER,
    ]
    assert (scaling.critical, scaling.is_critical_seen) == (128, True)


@pytest.mark.parametrize("half_way", [24, 100, 300])
def test_ba6_the_critical_size_of_the_usual_law_is_where_it_needs_half_as_many_examples_again(half_way: int):
    """Of S = least x (1 + half_way / B) steps, least x (B + half_way) examples: 1.5 times those of 16, solved."""
    scaling = scaling_of(lambda size: 10_000 * (1 + half_way / size))
    solved = PERFECT * (16 + half_way) - half_way
    assert scaling.critical == max(size for size in SIZES if size <= solved)
    assert scaling.is_critical_seen


def test_ba6_an_interval_between_evaluations_that_hides_the_fall_is_no_diminishing_return():
    """Perfect scaling needs 40 steps or fewer at the largest sizes, but evaluations come each 50."""
    assert scaling_of(lambda size: max(50, 2**12 / size), interval=1).is_critical_seen
    assert not scaling_of(lambda size: max(50, 2**12 / size), interval=50).is_critical_seen


def test_ba6_a_size_that_does_not_reach_the_target_is_said_to_and_costs_nothing_known():
    scaling = scaling_of(lambda size: None if size < 64 or size > 256 else 2**16 / size)
    assert [scaling.regimes[size] is Regime.NOT_REACHED for size in SIZES] == [True] * 2 + [False] * 3 + [True] * 2
    assert (scaling.critical, scaling.is_critical_seen) == (256, False)
    found = costs(scaling, dict.fromkeys(SIZES, (0.1,)), 2.0)
    assert [cost.size for cost in found] == [64, 128, 256]
    none = scaling_of(lambda size: None)
    assert (none.critical, none.examples, none.perfect_steps(16), costs(none, {}, 1.0)) == (None, None, None, ())


def test_the_spread_of_the_fewest_steps_is_that_of_ten_trials_drawn_again():
    """The fewest of ten draws from ten is beyond the k-th with probability (1 - k/10)^10: 0.11 for k=2, 0.03 for 3."""
    found = steps_of(32, [100, 60, None, 80, 70, 90, None, 40, 50, 30])
    assert (found.fewest, found.low, found.high) == (30, 30, 50)
    assert (found.num_reached, found.num_trials) == (8, 10)
    assert steps_of(32, [30, *[None] * 9]).high == math.inf  # 0.9^10 = 0.35 of the draws do not have it
    nobody = steps_of(32, [None] * 4)
    assert (nobody.fewest, nobody.low, nobody.num_reached) == (None, math.inf, 0)


def test_ba5_training_time_is_time_per_step_times_steps_and_consumption_the_same_of_a_whole_gang():
    scaling = scaling_of(lambda size: 2**16 / size)
    times = dict.fromkeys(SIZES, (0.09, 0.1, 0.2))
    first = costs(scaling, times, 8.0)[0]
    assert (first.size, first.seconds, first.resources) == (16, pytest.approx(409.6), pytest.approx(8 * 409.6))
    assert (first.low_s, first.high_s) == pytest.approx((0.09 * 4096, 0.2 * 4096))


@pytest.mark.parametrize(
    ("step_ms", "steps", "up_to", "size"),
    [
        (lambda size: 10.0, lambda size: max(256, 2**16 / size), 1024, 256),  # the smallest of equal ones
        (
            lambda size: 10.0,
            lambda size: max(256, 2**16 / size) * (0.97 if size > 256 else 1.0),
            1024,
            256,
        ),  # or nearly
        (lambda size: size / 10, lambda size: 200 + 2**13 / size, 1024, 16),  # past the critical size time only grows
        (lambda size: 10.0, lambda size: 2**16 / size, 128, 128),  # no further than where throughput grows
        (lambda size: 10.0 + size / 100, lambda size: 100 * (1 + 400 / size), 1024, 512),  # diminishing returns pay
    ],
)
def test_ba4_the_least_time_is_found_by_measured_steps(step_ms, steps, up_to, size):
    scaling = scaling_of(steps)
    found = least(costs(scaling, {each: (step_ms(each) / 1000,) for each in SIZES}, 1.0), up_to)
    assert found is not None
    assert found.size == size
    times = {each: step_ms(each) * math.ceil(steps(each)) for each in SIZES if each <= up_to}
    assert times[found.size] <= 1.05 * min(times.values())


def test_how_sure_the_least_time_is_follows_from_the_trials_alone():
    """Two sizes of two trials each, 10 or 30 and 20 or 40 steps: of 16 draws of both, the first is no slower in 13.

    The first's fewest is 10 in 3 of 4 draws, else 30; the other's is 20 in 3 of 4, else 40. It is slower with 30 to 20.
    """
    scaling = StepScaling((steps_of(16, [10, 30]), steps_of(32, [20, 40])), 1)
    times = {16: (0.1,), 32: (0.1,)}
    assert chance(scaling, times, 16, up_to=32) == pytest.approx(13 / 16, abs=0.05)
    assert chance(scaling, times, 32, up_to=32) == pytest.approx(3 / 16, abs=0.05)
    assert chance(scaling, times, 16, up_to=16) == 1.0
    reached = StepScaling((steps_of(16, [10, None]), steps_of(32, [None, None])), 1)
    assert chance(reached, times, 16, up_to=32) == pytest.approx(3 / 4, abs=0.05)


def test_ba6_noise_of_a_tenth_does_not_make_perfect_scaling_look_critical():
    """The fewest of ten trials vary by about a tenth where their tuning is as good at each size."""
    seen = 0
    for seed in range(200):
        factors = np.random.default_rng(seed).normal(1.0, 0.1, len(SIZES)).clip(0.7, 1.4)
        noisy = dict(zip(SIZES, factors, strict=True))
        seen += scaling_of(lambda size, noisy=noisy: 2**16 / size * noisy[size]).is_critical_seen
    assert seen <= 10
