"""How far another search would come to something else: chances and intervals against what is enumerated and drawn."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from raytune_playbook.analysis.answer.study_variance import (
    Tried,
    chances,
    detectable,
    interval_of_best,
    rank_of_another,
)

NUM_SEEDS = 400


def enumerated(arms: list[list[Tried]]) -> list[float]:
    """The definition: over all subsets of the points, which arm has the best trial; equal ones share alike."""
    points = sorted({trial.point for arm in arms for trial in arm})
    found = [0.0] * len(arms)
    for kept in itertools.product([False, True], repeat=len(points)):
        left = dict(zip(points, kept, strict=True))
        best = [min((t.loss for t in arm if left[t.point]), default=math.inf) for arm in arms]
        if min(best) < math.inf:
            for place in (winners := [place for place, loss in enumerate(best) if loss == min(best)]):
                found[place] += 0.5 ** len(points) / len(winners)
    return found


def drawn(num_arms: int, num_trials: int, seed: int, *, shared: bool, noise: float = 0.05) -> list[list[Tried]]:
    """Arms without a difference: a bowl in two dimensions with noise, at the same points or at their own."""
    rng = np.random.default_rng(seed)
    places = [rng.uniform(-0.5, 0.5, (num_trials, 2))] * num_arms
    if not shared:
        places = [rng.uniform(-0.5, 0.5, (num_trials, 2)) for _ in range(num_arms)]
    return [
        [
            Tried(index if shared else (arm, index), float(loss))
            for index, loss in enumerate((x**2).sum(1) + noise * rng.normal(size=num_trials))
        ]
        for arm, x in enumerate(places)
    ]


@pytest.mark.parametrize("shared", [True, False])
def test_ad2_chances_are_those_of_all_draws_of_points(shared):
    for seed in range(20):
        arms = drawn(3, 4, seed, shared=shared)
        arms[2][1] = Tried(arms[2][1].point, math.inf)
        if not shared:
            arms = [[Tried(10 * t.point[0] + t.point[1], t.loss) for t in arm] for arm in arms]
        assert chances(arms) == pytest.approx(enumerated(arms))


def test_sd8_equal_trials_at_one_point_share_alike():
    arms = [[Tried(0, 0.0142)], [Tried(0, 0.0142)], [Tried(0, 0.0142)]]
    assert chances(arms) == pytest.approx([1 / 6] * 3)
    assert chances(arms) == pytest.approx(enumerated(arms))


@pytest.mark.parametrize("noise", [0.0001, 0.05, 1.0])
@pytest.mark.parametrize("shared", [True, False])
def test_ad2_a_lead_of_a_chance_is_as_rare_among_equals_as_it_says(shared, noise):
    """The bootstrap that this replaces leaves the luckiest trial in 63% of its draws, and is far from it."""
    largest = [max(chances(drawn(2, 12, seed, shared=shared, noise=noise))) for seed in range(NUM_SEEDS)]
    for probability in (0.8, 0.9, 0.95, 0.98):
        allowed = 2 * (1 - probability)
        share = float(np.mean([chance >= probability for chance in largest]))
        assert share <= allowed + 2.5 * math.sqrt(allowed * (1 - allowed) / NUM_SEEDS)


def test_ad2_few_trials_leave_all_in_doubt():
    arms = [[Tried(index, float(index)) for index in range(3)], [Tried(index, 10.0 + index) for index in range(3)]]
    assert chances(arms) == pytest.approx([7 / 8, 0])
    assert detectable(arms) is None


def test_ad2_what_arms_share_is_no_part_of_what_they_could_have_shown():
    """Points lie 10 apart, and the arms differ at each by a thousandth: at their own points that is nothing."""
    rng = np.random.default_rng(0)

    def at_points(*, shared: bool) -> float:
        arms = [
            [Tried(index if shared else (arm, index), 10.0 * index + 0.001 * rng.normal()) for index in range(12)]
            for arm in range(2)
        ]
        return detectable(arms)

    assert 0 < at_points(shared=True) < 0.1
    assert at_points(shared=False) > 10


@pytest.mark.parametrize("shared", [True, False])
def test_ad2_what_could_have_been_shown_is_the_same_whichever_arm_comes_first(shared: bool) -> None:
    """All points of one arm are equal, of the other one alone is good: as the labels are dealt anew, neither has that
    luck for its own, and no lead is sure before it exceeds all differences between points."""
    good, bad = [0.0] * 12, [0.0] + [1000.0] * 11
    arms = [
        [Tried(place if shared else (arm, place), loss) for place, loss in enumerate(losses)]
        for arm, losses in enumerate((good, bad))
    ]
    found, turned = detectable(arms), detectable(arms[::-1])
    assert found is not None
    assert found == pytest.approx(turned)
    assert found > 1000


def test_ad2_the_best_of_another_search_lies_in_the_interval_in_8_of_10_cases():
    def misses(num_trials: int, noise: float) -> tuple[float, float]:
        low, high = 0, 0
        for seed in range(NUM_SEEDS):
            first, second = ([t.loss for t in arm] for arm in drawn(2, num_trials, seed, shared=False, noise=noise))
            start, end = interval_of_best(first)
            low, high = low + (min(second) < start), high + (min(second) > end)
        return low / NUM_SEEDS, high / NUM_SEEDS

    for num_trials in (8, 30):
        for noise in (0.001, 0.05):
            assert max(misses(num_trials, noise)) < 0.15
            assert sum(misses(num_trials, noise)) < 0.24


def test_ad2_no_interval_from_few_trials_or_mostly_infeasible_ones():
    assert interval_of_best([]) is None
    assert interval_of_best([0.1, 0.2, 0.3]) is None
    assert interval_of_best([0.1, 0.2, 0.3, 0.4, 0.5, math.inf, math.inf]) is None
    assert interval_of_best([0.1] * 8) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize("num_trials", [8, 12, 40])
def test_ad2_the_end_on_the_worse_side_is_where_one_of_ten_searches_ends(num_trials: int) -> None:
    """Both searches are of independent points: with trials 1, 2, 3, ... the r-th best is exceeded with the probability
    that all of r come from the first search, between which the logarithm is straight."""
    found = interval_of_best([float(trial) for trial in range(1, num_trials + 1)])
    assert found is not None
    exceeded = [math.comb(2 * num_trials - r, num_trials) / math.comb(2 * num_trials, num_trials) for r in range(1, 7)]
    assert found[1] == pytest.approx(np.interp(-math.log(0.1), -np.log(exceeded), np.arange(1.0, 7.0)))


@pytest.mark.parametrize("num_points", [3, 8, 12, 30])
def test_ad2_another_search_finds_what_the_rank_promises_in_9_of_10_cases(num_points: int) -> None:
    """Of all ways to deal 2 n points to two searches: by simulation the rank holds, and one less would not."""
    rank = rank_of_another([float(each) for each in range(num_points)])
    assert rank in (3, 4)
    rng, worse = np.random.default_rng(0), {rank - 1: 0, rank: 0}
    for _ in range(20_000):
        dealt = rng.permutation(2 * num_points)
        first, other = np.sort(dealt[:num_points]), dealt[num_points:].min()
        worse = {each: count + int(other > first[each - 1]) for each, count in worse.items()}
    error = 3 * math.sqrt(0.1 * 0.9 / 20_000)
    assert worse[rank] / 20_000 <= 0.1 + error
    assert worse[rank - 1] / 20_000 > 0.1 + error


def test_ad2_infeasible_points_are_the_worst_and_few_points_tell_nothing() -> None:
    assert rank_of_another([]) is None
    assert rank_of_another([0.1, 0.2]) is None
    assert rank_of_another([0.3, math.inf, 0.1, 0.2, *[math.inf] * 8]) is None
    assert rank_of_another([0.3, math.inf, 0.1, 0.2, 0.4, *[math.inf] * 7]) == 4
