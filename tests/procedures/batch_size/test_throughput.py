"""Rules BA2, BA3 and BA4 on steps whose times follow a known law."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from raytune_playbook.procedures.batch_size.throughput import PARTS, Part, Scaling, StepTimes, step_times
from raytune_playbook.records.columns import SPLIT, STEP, TRAIN_STEPS_SPLIT, measurements_table

SIZES = (16, 32, 64, 128, 256, 512)

Law = Callable[[int], Mapping[Part, float]]
"""Milliseconds of a step by part, of a batch size."""


def scaling_of(law: Law, spread: float = 0.0) -> Scaling:
    def of(size: int) -> StepTimes:
        parts_s = {part: law(size).get(part, 0.0) / 1000 for part in PARTS}
        step_s = sum(parts_s.values())
        return StepTimes(size, (step_s * (1 - spread), step_s, step_s * (1 + spread)), parts_s, 30)

    return Scaling(tuple(map(of, SIZES)))


def test_ba2_the_first_interval_warms_up_and_an_interruption_does_not_move_the_time_per_step():
    steps_ms = [50.0] * 4 + [10.0] * 4 + [10.0] * 3 + [410.0] + [12.0] * 4
    rows = [
        {STEP: 1 + number, SPLIT: TRAIN_STEPS_SPLIT, "loss": 1.0, "compute_s": ms / 1000 - 0.002, "wait_s": 0.0005}
        | {"transfer_s": 0.0, "sync_s": 0.001, "augment_s": 0.0005}
        for number, ms in enumerate(steps_ms)
    ]
    evaluations = [{STEP: step, SPLIT: "validation", "loss": 1.0} for step in (0, 4, 8, 12, 16)]
    found = step_times(32, measurements_table([*reversed(rows), *evaluations]), 4, 2**20)
    assert found.interval_s == pytest.approx((0.010, 0.110, 0.012))
    assert found.step_s == pytest.approx(0.012)
    assert found.examples_per_s == pytest.approx(32 / 0.012)
    assert (found.slowest_per_s, found.fastest_per_s) == pytest.approx((32 / 0.110, 3200))
    assert (found.num_steps, found.peak_memory_bytes) == (12, 2**20)
    assert found.parts_s == pytest.approx({"input": 0.001, "synchronization": 0.001, "compute": 0.042})
    assert found.share("input") == pytest.approx(0.001 / 0.044)


def test_ba2_a_trial_that_did_not_come_beyond_the_first_interval_tells_no_times():
    rows = [
        {STEP: 1, SPLIT: TRAIN_STEPS_SPLIT, "compute_s": 1.0}
        | dict.fromkeys(("wait_s", "transfer_s", "sync_s", "augment_s"), 0.0)
    ]
    with pytest.raises(ValueError, match="warm up"):
        step_times(32, measurements_table(rows), 4, None)


def test_ba3_and_ba4_where_a_step_takes_the_same_time_nothing_ends_the_doubling():
    scaling = scaling_of(lambda size: {"compute": 3.0, "synchronization": 2.0})
    assert scaling.factors == (None, *[pytest.approx(2.0)] * 5)
    assert (scaling.stops_at, scaling.nearly_doubles_to, scaling.pays_to) == (512, 512, 512)
    assert scaling.bottleneck is None


@pytest.mark.parametrize("part", PARTS)
def test_ba3_the_part_that_grows_with_the_batch_is_the_bottleneck(part: Part):
    """Of 8 ms and 1/8 ms for each example, a step of 64 takes 16 ms instead of the 12 of one of 32."""
    other: Part = "compute" if part == "input" else "input"
    scaling = scaling_of(lambda size: {part: size / 8, other: 8.0})
    assert scaling.nearly_doubles_to == 16  # from 10 to 12 ms the throughput grows 1.67 times
    found = scaling.bottleneck
    assert found is not None
    assert (found.smaller, found.larger, found.part) == (16, 32, part)
    assert (found.factor, found.share) == pytest.approx((2 * 10 / 12, 1.0))
    assert scaling.pays_to == 64  # 12 -> 16 ms: 1.5 times the throughput; 16 -> 24 ms: 1.33 times
    assert scaling.stops_at == 512  # each doubling still brings more than 5%


def test_ba4_no_size_is_considered_beyond_where_throughput_stops_growing():
    """The hardware trains 10 examples/ms, and 3% more where the batch is larger than 128."""
    scaling = scaling_of(lambda size: {"compute": 12.8 if size <= 128 else size / 10.3})
    assert scaling.stops_at == scaling.pays_to == scaling.nearly_doubles_to == 128
    assert scaling.bottleneck is not None
    assert scaling.bottleneck.factor == pytest.approx(1.03)


def test_ba4_a_throughput_that_falls_again_is_behind_its_best_one():
    scaling = scaling_of(lambda size: {"compute": 10.0 if size <= 64 else size**2 / 400})
    assert scaling.stops_at == 64


def test_ba3_a_spread_that_reaches_doubling_blames_nothing():
    """The throughput grows 1.67 times, but each time per step is known to within 20% only."""
    assert scaling_of(lambda size: {"compute": size / 8 + 8}, spread=0.0).nearly_doubles_to == 16
    assert scaling_of(lambda size: {"compute": size / 8 + 8}, spread=0.2).nearly_doubles_to > 16
