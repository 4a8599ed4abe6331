"""What a choice of the batch size says, from times and steps that follow a known law."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from raytune_playbook.analysis.input_pipeline import InputBound, StepTime
from raytune_playbook.procedures.batch_size.measured import Ended, Measured, Proof, ToTarget
from raytune_playbook.procedures.batch_size.record import About, completed_record, nothing_fits
from raytune_playbook.procedures.batch_size.scaling import StepScaling, steps_of
from raytune_playbook.procedures.batch_size.throughput import StepTimes
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.types import TimeByPart
from tests.procedures.batch_size.test_sizes import round_of

SIZES = (16, 32, 64, 128, 256)
DRAFT = ProcedureRecord(
    procedure="batch-size", round="made", workload="Made", verdict="", command="raytune-playbook ...", ended_at="2026"
)


def measured_of(step_ms: Callable[[int], float]) -> Measured:
    sizes = tuple(
        StepTimes(size, (ms / 1000,) * 3, {"input": 0.0, "synchronization": 0.0, "compute": ms / 1000}, 30, 2**20)
        for size in SIZES
        for ms in (step_ms(size),)
    )
    return Measured(sizes, Ended.MEMORY, "out of memory of 1 GiB: can't allocate memory", 512, 50_000, {})


def about(step_ms: Callable[[int], float], steps: Callable[[int], int | None] | None = None) -> About:
    to_target = None
    if steps is not None:
        scaling = StepScaling(tuple(steps_of(size, [steps(size)] * 4) for size in SIZES), 2)
        to_target = ToTarget(0.25, scaling, {64: ("learning_rate",)}, "cosine", 400)
    proof = Proof(256, ({"batch_norm": "device"}, {"batch_norm": "ghost"}), 2**20, {})
    return About(round_of(), measured_of(step_ms), proof, to_target, "raytune-playbook train-steps made.py")


def has(record: ProcedureRecord, *parts: str) -> bool:
    return all(any(part in sentence for sentence in record.sentences) for part in parts)


def test_ba4_without_steps_two_answers_and_what_each_rests_on():
    """Steps of 4 ms and 1/8 ms an example: throughput grows 1.5, 1.33, 1.2 and 1.11 times."""
    record = completed_record(DRAFT, about(lambda size: 4 + size / 8))
    assert record.verdict == (
        "Take batch_size 256 for the least training time, or 32 for the least resource consumption; "
        "the largest that fits is 256."
    )
    assert (record.is_good, record.numbers["least_time"], record.numbers["least_resources"]) == (True, 256, 32)
    assert (record.numbers["largest_feasible"], record.numbers["ended_by"]) == (256, "memory")
    assert record.numbers["bottleneck"] == "compute"
    assert has(
        record, "512 examples do not fit: out of memory of 1 GiB", "100% of what a step takes longer is computing"
    )
    assert has(
        record, "256 was trained and evaluated anew in fresh workers with each of batch_norm=device; batch_norm=gh"
    )
    assert has(record, "2 CPUs times the training time", "Ghost batch norm kept its virtual batch size of 64")
    budgets = record.tables[1]
    assert [row[3] for row in budgets.rows] == [1600, 800, 400, 200, 100]  # as many examples as 400 steps of 64
    assert [row[2] for row in budgets.rows] == [4.8, 6.4, 9.6, 16.0, 28.8]  # of two CPUs, by time per step x 400
    assert record.next[0].command == "raytune-playbook train-steps made.py"
    assert '"batch_size": 256' in record.next[0].sentence
    assert "learning_rate, dropout" in record.next[0].sentence or "dropout, learning_rate" in record.next[0].sentence


def test_pi1_workers_that_wait_for_one_that_waits_for_its_input_are_not_to_blame():
    known = measured_of(lambda size: 10.0 if size < 64 else size / 6)
    times = [
        replace(each, parts_s={"input": 0.0, "synchronization": each.step_s, "compute": 0.0}) for each in known.sizes
    ]
    waiting = replace(known, sizes=tuple(times))
    assert waiting.bottleneck is not None
    assert (waiting.bottleneck.larger, waiting.bottleneck.part) == (128, "synchronization")
    time = StepTime(100, TimeByPart(wait_s=9.0, compute_s=1.0), {"decode": 9.0})
    bound = replace(waiting, input_bound={128: InputBound(None, time, "Training is input-bound: preprocess once.")})
    record = completed_record(DRAFT, replace(about(lambda size: 10.0), measured=bound))
    assert record.numbers["bottleneck"] == "input"
    assert has(record, "waiting for batches; make the input", "At 128: Training is input-bound: preprocess once.")


def test_a_batch_of_much_of_the_training_set_is_not_taken_by_a_rule_of_thumb_alone():
    many = about(lambda size: 10.0)
    small = many.round.model_copy(update={"fixed": {**many.round.fixed, "batch_size": 16}})
    few = replace(many, round=small, measured=replace(many.measured, num_examples=600))
    assert not has(completed_record(DRAFT, many), "an epoch at that")
    record = completed_record(DRAFT, few)
    assert has(record, "up to 256, but an epoch at that has only 2 steps")
    assert (record.numbers["least_time"], record.numbers["least_resources"]) == (32, 32)  # 64 would leave 9 steps
    assert record.numbers["stops_growing_at"] == 256
    assert record.verdict == (
        "Take batch_size 32, the largest whose epoch has at least 10 steps: with fewer the rule of thumb that a "
        "doubled batch halves the steps is not to be relied on; the largest that fits is 256."
    )
    fewer = completed_record(DRAFT, replace(few, measured=replace(many.measured, num_examples=3)))
    assert fewer.numbers["least_time"] == many.measured.sizes[0].size


def test_ba5_and_ba6_measured_steps_decide_and_name_the_critical_batch_size():
    """Perfect scaling to 64, and no fewer steps beyond, in steps of the same time."""
    record = completed_record(DRAFT, about(lambda size: 10.0, lambda size: max(100, 6400 // size)))
    assert record.verdict == (
        "Take batch_size 64: it reaches a validation loss of 0.25 in 1 s, which 128 (1 s) and 256 (1 s) equal to "
        "within 5%; of equals the smallest is taken, which needs the least memory; the largest that fits is 256."
    )
    best = completed_record(DRAFT, about(lambda size: 10.0, lambda size: 100 if size == 64 else 200))
    assert best.verdict == (
        "Take batch_size 64: it reaches a validation loss of 0.25 in the least time (1 s) and with the least resource "
        "consumption (2 CPU-seconds); the largest that fits is 256."
    )
    numbers = record.numbers
    assert (numbers["least_time"], numbers["least_resources"], numbers["critical_batch_size"]) == (64, 64, 64)
    assert (numbers["steps_to_target"], numbers["target_sizes"]) == ([400, 200, 100, 100, 100], list(SIZES))
    assert has(record, "Scaling is perfect up to 64, the critical batch size", "This is a step budget")
    assert has(record, "At 64 the fastest trial has learning_rate at an end of its range", "schedule cosine")
    steps = next(plot for plot in record.plots if plot.title.startswith("Steps to"))
    assert steps.series[1].y == (400, 200, 100, 50, 25)
    assert [line.x for line in steps.lines] == [64]
    assert record.tables[1].leading == (2,)


def test_ba6_scaling_that_is_perfect_nowhere_is_not_called_so():
    record = completed_record(DRAFT, about(lambda size: 10.0, lambda size: 300))
    assert record.numbers["least_time"] == 16
    assert has(record, "Scaling is perfect nowhere from 16 on", "16 would take the least time in 100% of the draws")
    assert [row[-1] for row in record.tables[1].rows] == ["the smallest", *["no fewer steps"] * 4]


def test_sizes_that_are_equally_fast_are_said_to_be_and_why_the_smallest_is_taken():
    """The larger one takes 1% less time, which is no difference."""
    close = about(lambda size: 9.9 if size > 16 else 10.0, lambda size: {16: 100, 32: 100}.get(size, 300))
    record = completed_record(DRAFT, close)
    assert record.verdict == (
        "Take batch_size 16: it reaches a validation loss of 0.25 in 1 s, which 32 (990 ms) equals to within 5%; of "
        "equals the smallest is taken, which needs the least memory; the largest that fits is 256."
    )


def test_few_steps_in_an_epoch_alone_send_nobody_below_the_jobs_own_size():
    """309 examples: an epoch at the job's 64 has 4 steps. Where the throughput stops below it, that counts."""
    few = about(lambda size: 10.0)
    few = replace(few, measured=replace(few.measured, num_examples=309))
    assert few.own_size == 64
    record = completed_record(DRAFT, few)
    assert (record.numbers["least_time"], record.numbers["least_resources"]) == (64, 64)
    assert record.verdict.startswith(
        "Take batch_size 64, which the job has: an epoch has fewer than 10 steps even at that, and with so few the rule"
    )
    assert "already" in record.next[0].sentence
    slow = replace(few, measured=replace(measured_of(lambda size: size / 4), num_examples=309))
    assert completed_record(DRAFT, slow).numbers["least_time"] == 16


def test_a_target_that_nothing_reaches_is_no_answer():
    record = completed_record(DRAFT, about(lambda size: 10.0, lambda size: None))
    assert record.is_good is False
    assert record.verdict.startswith(
        "No trial of a size to consider reached a validation loss of 0.25 within 400 steps"
    )
    assert record.numbers["critical_batch_size"] is None
    assert "Choose a target that training reaches" in record.next[0].sentence


def test_ba6_a_size_that_is_not_reached_is_said():
    record = completed_record(
        DRAFT, about(lambda size: 10.0, lambda size: None if size < 32 else math.ceil(6400 / size))
    )
    assert has(
        record,
        "No trial reached the target at 16 within 400 steps",
        "Scaling is perfect up to 256, the largest size that reached",
    )


def test_where_nothing_fits_the_reason_is_told():
    none = Measured((), Ended.MEMORY, "out of memory of 1 GiB", 16, 600, {})
    record = nothing_fits(DRAFT, none, {})
    assert record.verdict == "No batch size fits: not even 16 examples can be trained (out of memory of 1 GiB)."
    assert (record.is_good, record.numbers["largest_feasible"]) == (False, None)
    fresh = nothing_fits(DRAFT, measured_of(lambda size: 1.0), {256: "out of memory of A", 16: "out of memory of B"})
    assert "not even 16 examples can be trained (out of memory of B)" in fresh.verdict
