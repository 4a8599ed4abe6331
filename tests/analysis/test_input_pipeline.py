"""Shares of the steps' time by part, and who is to blame where training waits for its input (rules PI1, PI2, PI4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.input_pipeline import (
    AUGMENTATION,
    INPUT_BOUND_SHARE,
    finding,
    of_each_study,
    of_round,
    step_time,
)
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import PIPELINE_STAGES, ExamplesRecord, Machine, TimeByPart, Training

FREE = Machine(num_workers=2, threads_per_worker=1, hosts=("a", "b"), cores=(2, 2))
FULL = Machine(num_workers=3, threads_per_worker=2, hosts=("a", "b", "b"), cores=(8, 4, 4))
STEPS = 1000


def trial(study: str = "all", index: int = 0, *, machine: Machine = FREE, outcome: str = "completed", **known) -> Trial:
    """A trial of 1000 steps of 10 examples: a second of waiting is 1 ms per step."""
    stages = known.pop("stages", {})
    training = Training(STEPS, num_parameters=1, train_s=9.0, time_by_part=TimeByPart(**known), stages=stages)
    return Trial(study, index, outcome=outcome, training=training, machine=machine, values={"batch_size": 10})


def test_pi1_parts_are_summed_over_completed_trials_and_shared_out():
    one = trial(wait_s=2.0, transfer_s=1.0, sync_s=0.5, augment_s=1.5, compute_s=5.0, stages={"read": 1.0})
    other = trial(index=1, compute_s=10.0, stages={"read": 2.0, "collate": 0.5})
    time = of_round([one, other, trial(index=2, outcome="infeasible", wait_s=1e6)])
    assert (time.num_steps, time.time_by_part.total_s, time.time_by_part.input_s) == (2000, 20.0, 4.5)
    assert time.input_share == pytest.approx(0.225)
    assert [time.share(name) for name in ("wait_s", "sync_s", "compute_s")] == [0.1, 0.025, 0.75]
    assert (time.mean_ms(), time.mean_ms("wait_s")) == (10.0, 1.0)
    assert time.stages == {"read": 3.0, "collate": 0.5}


def test_pi1_retraining_a_trial_later_changes_nothing_of_what_a_round_has_shown():
    first = trial(wait_s=0.5, compute_s=3.5)
    again = [replace(first, repeat=repeat) for repeat in range(1, 21)]
    assert of_round([first, *again]) == of_round([first])
    assert finding([first, *again]) is None  # half a second of waiting is none, however often it is waited again


def test_pi1_trials_of_older_versions_are_left_out():
    old = Trial("all", 0, outcome="completed", training=Training(STEPS, num_parameters=1, train_s=9.0))
    assert step_time([old]) is None
    assert finding([old]) is None
    assert step_time([old, trial(index=1, compute_s=1.0)]).time_by_part.total_s == 1.0


@pytest.mark.parametrize(
    ("parts", "stages", "blame"),
    [
        ({"wait_s": 3.0}, {"read": 1.0, "decode": 4.0, "collate": 2.0}, "decode"),
        ({"wait_s": 3.0, "transfer_s": 1.0, "augment_s": 1.0}, {"remote read": 5.0, "decode": 4.0}, "remote read"),
        ({"wait_s": 1.0, "transfer_s": 3.0}, {"decode": 4.0, "transfer": 0.1}, "transfer"),
        ({"wait_s": 1.0, "transfer_s": 1.0, "augment_s": 3.0}, {"decode": 4.0}, AUGMENTATION),
        ({"wait_s": 3.0}, {}, None),
        ({"wait_s": 3.0}, dict.fromkeys(PIPELINE_STAGES, 0.0), None),
    ],
)
def test_pi1_the_stage_that_was_waited_for_is_to_blame(parts, stages, blame):
    time = step_time([trial(compute_s=5.0, stages=stages, **parts)])
    assert time.blame == blame
    assert finding([trial(compute_s=5.0, stages=stages, **parts)])  # whatever is known, it is one sentence


@pytest.mark.parametrize(
    ("stage", "remedy"),
    [
        ("read", "Files(columns=...)"),
        ("remote read", "a local copy"),
        ("decode", "raytune-playbook preprocess JOB"),
        ("shuffle", "Resources.pipeline_cpus"),
        ("collate", "Files(columns=...)"),
    ],
)
def test_pi2_the_finding_names_the_stage_its_numbers_and_the_remedy(stage, remedy):
    others = {other: 1.0 for other in PIPELINE_STAGES if other != stage}
    sentence = finding([trial(wait_s=30.0, compute_s=70.0, stages=others | {stage: 5.0})])
    assert sentence.startswith(
        "PI1: Training is input-bound: 30% of the steps' time is spent waiting for batches "
        f"(30 ms for data, in steps of 100 ms; 50% of the pipeline's work is {stage}); "
    )
    assert remedy in sentence
    assert "no core is free" not in sentence


def test_pi1_augmentation_is_waited_for_too():
    sentence = finding([trial(augment_s=30.0, wait_s=5.0, compute_s=65.0, stages={"read": 1.0}, machine=FULL)])
    assert "35% of the steps' time" in sentence
    assert "(5 ms for data, 30 ms for augmentation, in steps of 100 ms)" in sentence
    assert "make Workload.augment cheaper" in sentence
    assert "no core is free" not in sentence  # which would not help


def test_pi2_workers_that_leave_the_pipeline_no_core_are_told():
    sentence = finding([trial(wait_s=30.0, compute_s=70.0, stages={"decode": 5.0}, machine=FULL)])
    assert "no core is free beside the workers (4 threads of theirs on 4 cores): leave one to the pipeline" in sentence
    assert "raytune-playbook preprocess JOB" in sentence


@pytest.mark.parametrize(
    "parts",
    [
        {"wait_s": 9.0, "compute_s": 91.0},  # 9%
        {"wait_s": 0.9, "compute_s": 0.1},  # the first batch of a short trial
        {"sync_s": 90.0, "compute_s": 10.0},  # not for want of a batch
    ],
)
def test_pi1_little_waiting_is_no_finding(parts):
    assert finding([trial(**parts)]) is None


@pytest.mark.parametrize("part", ["wait_s", "transfer_s", "augment_s"])
@pytest.mark.parametrize(("input_s", "is_bound"), [(9.99, False), (10.0, True), (10.01, True)])
def test_pi1_from_a_tenth_of_the_steps_time_on_training_is_input_bound(part, input_s, is_bound):
    found = finding([trial(**{part: input_s, "compute_s": 100.0 - input_s})])
    assert (found is not None) is is_bound


def test_pi1_below_that_limit_training_could_become_at_most_1_11_times_as_fast():
    time_s, input_s = 1.0, INPUT_BOUND_SHARE
    assert time_s / (time_s - input_s) == pytest.approx(1.11, abs=0.005)


@pytest.mark.parametrize(("wait_s", "is_bound"), [(0.99, False), (1.0, True)])
def test_pi1_less_than_a_second_of_waiting_is_no_finding(wait_s, is_bound):
    assert (finding([trial(wait_s=wait_s, compute_s=1.0)]) is not None) is is_bound


def test_pi1_a_study_that_waits_is_named_where_the_round_as_a_whole_does_not():
    trials = [
        trial("depth=1", wait_s=3.0, compute_s=7.0),
        trial("depth=2", wait_s=2.0, compute_s=8.0),
        trial("depth=50", compute_s=200.0),
    ]
    assert finding(trials).startswith("PI1: Training of depth=1 is input-bound: 30% of the steps' time")
    assert {study: time.input_share for study, time in of_each_study(trials).items()} == {
        "depth=1": 0.3,
        "depth=2": 0.2,
        "depth=50": 0.0,
    }


def examples(source: str, *, example_bytes: int = 1000, **known: object) -> ExamplesRecord:
    known = {"mode": "materialized", "sources": {"train": source, "validation": source}} | known
    num_bytes = {"train": 90 * example_bytes, "validation": 10 * example_bytes}
    return ExamplesRecord(num_examples={"train": 90, "validation": 10}, num_bytes=num_bytes, **known)


LARGE = 200_000  # bytes of an example, ten of which are a batch
OFFLINE, AT_READ, FEWER = "raytune-playbook preprocess JOB", "Files(columns=...)", "Workload.datasets"


@pytest.mark.parametrize(
    ("stage", "given", "remedies"),
    [
        ("collate", examples("arrays"), ["larger batches come less often"]),  # a handful of rows in memory
        (None, examples("arrays"), ["larger batches come less often"]),
        ("transfer", examples("s3://b/x"), ["larger batches come less often"]),
        ("collate", examples("arrays", example_bytes=LARGE), [FEWER, "smaller types"]),
        ("collate", examples("an Arrow table", example_bytes=LARGE), [FEWER, "smaller types"]),
        ("collate", examples("s3://b/x", example_bytes=LARGE), [AT_READ, "smaller types"]),
        ("decode", examples("s3://b/x", mode="streaming"), [OFFLINE, "Resources.pipeline_cpus"]),
        ("decode", examples("s3://b/x", mode="streaming", preprocessed="s3://b/y"), ["Resources.pipeline_cpus"]),
        ("read", examples("s3://b/x", mode="streaming"), [AT_READ, "Resources.pipeline_cpus"]),
        ("remote read", examples("s3://b/x", mode="streaming"), ["a local copy", AT_READ]),
    ],
)
def test_pi2_advice_is_by_the_cause(stage, given, remedies):
    known = {"transfer_s": 30.0} if stage == "transfer" else {"wait_s": 30.0}
    sentence = finding([trial(compute_s=70.0, stages={stage: 5.0} if stage else {}, **known)], given)
    advice = sentence.partition(");")[2]
    every = {OFFLINE, AT_READ, FEWER, "Resources.pipeline_cpus", "larger batches", "smaller types", "a local copy"}
    assert {each for each in every if each in advice} == {
        each for each in every if any(each in one for one in remedies)
    }


@pytest.mark.parametrize(("step_s", "is_said"), [(0.9, False), (1.1, True)])  # milliseconds of each of 1000 steps
def test_pi1_steps_of_under_a_millisecond_wait_for_nothing_that_could_be_better(step_s, is_said):
    trials = [trial(index=index, wait_s=0.5 * step_s, compute_s=0.5 * step_s) for index in range(10)]
    assert of_round(trials).time_by_part.input_s > 1.0
    assert (finding(trials) is not None) is is_said
