"""A worker's batches, gathered in a thread (rules PI2, EV1, EV3, EV7)."""

from __future__ import annotations

import gc
import itertools
import threading

import numpy as np
import pytest
import torch

from raytune_playbook.data.batches import NUM_CHOSEN, NUM_PREFETCHED, SharedBatches, TrialExamples
from raytune_playbook.data.examples import MAX_TRAINING_SAMPLE
from raytune_playbook.data.order import BatchShare, batch_rows
from raytune_playbook.errors import SpecError
from raytune_playbook.study.trial import TrialSpec
from tests.data.conftest import prefetchers
from tests.data.trials import trial

TRIAL = trial(2, seed=5)


def columns(num: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.random((num, 1, 3, 2)).astype(np.float32)
    return {"image": images, "label": np.arange(num, dtype=np.int64), "flag": np.arange(num) % 2 == 0}


ARRAYS = {"train": columns(50), "validation": columns(21)}


def batches_of(
    arrays: dict[str, dict[str, np.ndarray]] = ARRAYS,
    batch_size: int = 12,
    rank: int = 0,
    num_workers: int = 1,
    trial: TrialSpec = TRIAL,
) -> SharedBatches:
    return SharedBatches(TrialExamples(arrays), trial, BatchShare(batch_size, rank, num_workers), torch.device("cpu"))


pytestmark = pytest.mark.usefixtures("no_thread_is_left")


@pytest.mark.parametrize(("rank", "num_workers"), [(0, 1), (0, 2), (1, 2), (2, 3)])
def test_pi2_prefetched_batches_are_those_gathered_directly(rank, num_workers):
    found = batches_of(rank=rank, num_workers=num_workers).training_batches(TRIAL)
    rows = batch_rows(TRIAL, 50, BatchShare(12, rank, num_workers))
    for batch, chosen in itertools.islice(zip(found, rows, strict=False), 25):
        assert set(batch) == {"image", "label", "flag"}
        for name, tensor in batch.items():
            expected = torch.from_numpy(ARRAYS["train"][name][chosen])
            assert tensor.dtype == expected.dtype
            assert torch.equal(tensor, expected)


def test_batches_are_copies_so_that_a_workload_may_change_them():
    before = ARRAYS["train"]["image"].copy()
    batch = next(batches_of().training_batches(TRIAL))
    batch["image"].zero_()
    assert np.array_equal(ARRAYS["train"]["image"], before)


class Touchy(np.ndarray):
    """Fails when its rows are gathered for the fourth time."""

    num_gathered = 0

    def __getitem__(self, rows: object) -> object:
        Touchy.num_gathered += 1
        if Touchy.num_gathered == 4:
            raise OSError("the file is gone")
        return np.asarray(self)[rows]


def test_an_exception_of_the_thread_reaches_the_consumer_after_the_batches_before_it():
    Touchy.num_gathered = 0
    arrays = {"train": {"x": np.arange(50.0).view(Touchy)}, "validation": {"x": np.arange(3.0)}}
    found = batches_of(arrays).training_batches(TRIAL)
    for _ in range(3):
        next(found)
    with pytest.raises(OSError, match="the file is gone"):
        next(found)
    assert prefetchers() == []


def test_a_bad_batch_size_is_the_consumers_error():
    with pytest.raises(SpecError, match="must not exceed the number of training examples, but got 51 of 50"):
        next(batches_of(batch_size=51).training_batches(TRIAL))


@pytest.mark.parametrize("num_taken", [1, 2, 10])
def test_the_thread_ends_when_the_iterator_is_dropped(num_taken):
    found = batches_of().training_batches(TRIAL)
    for _ in range(num_taken):
        next(found)
    assert len(prefetchers()) == 1
    del found
    gc.collect()
    assert prefetchers() == []


def test_the_thread_works_ahead_by_a_few_batches_and_no_more():
    gathered = threading.Semaphore(0)

    class Counted(np.ndarray):
        def __getitem__(self, rows: object) -> object:
            gathered.release()
            return np.asarray(self)[rows]

    arrays = {"train": {"x": np.arange(50.0).view(Counted)}, "validation": {"x": np.arange(3.0)}}
    found = batches_of(arrays).training_batches(TRIAL)
    next(found)
    # One was taken, and NUM_PREFETCHED are made without being asked for.
    for _ in range(1 + NUM_PREFETCHED):
        assert gathered.acquire(timeout=60)
    assert not gathered.acquire(timeout=0.3)
    found.close()


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 6, 12, 48])
def test_ev3_validation_examples_count_once_over_all_workers(num_workers, batch_size):
    labels, shapes = [], set()
    for rank in range(num_workers):
        for batch in batches_of(batch_size=batch_size, rank=rank, num_workers=num_workers).evaluation_batches(
            "validation"
        ):
            labels += batch["label"][batch["_weight"] > 0].tolist()
            shapes.add(tuple(batch["image"].shape))
    assert sorted(labels) == list(range(21))
    ((examples, *rest),) = shapes
    assert rest == [1, 3, 2]
    assert examples * num_workers >= batch_size  # rule EV1


def test_ev7_training_error_is_taken_on_one_fixed_sample():
    arrays = {"train": columns(MAX_TRAINING_SAMPLE + 500), "validation": columns(3)}

    def sample(trial: TrialSpec, num_workers: int = 1) -> list[int]:
        return [
            label
            for rank in range(num_workers)
            for batch in batches_of(arrays, 64, rank, num_workers, trial).evaluation_batches("train")
            for label in batch["label"][batch["_weight"] > 0].tolist()
        ]

    first = sample(TRIAL)
    assert len(first) == len(set(first)) == MAX_TRAINING_SAMPLE
    # The same for all trials and any number of workers of a study, another for another study's seed.
    assert sample(TRIAL.model_copy(update={"index": 9, "repeat": 1})) == first
    assert sorted(sample(TRIAL, num_workers=3)) == sorted(first)
    assert sorted(sample(TRIAL.model_copy(update={"seed": 6}))) != sorted(first)


def test_ev7_a_small_training_set_is_its_own_sample():
    labels = [
        label
        for batch in batches_of().evaluation_batches("train")
        for label in batch["label"][batch["_weight"] > 0].tolist()
    ]
    assert sorted(labels) == list(range(50))


def rows_of(split: str, num_workers: int = 1, trial: TrialSpec = TRIAL) -> list[int]:
    return [
        row
        for rank in range(num_workers)
        for batch in batches_of(rank=rank, num_workers=num_workers, trial=trial).evaluation_batches(split)
        for row in batch["_row"][batch["_weight"] > 0].tolist()
    ]


@pytest.mark.parametrize("split", ["train", "validation", "validation_full", "chosen"])
@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_ev3_examples_are_numbered_by_their_place_in_the_data_set(split, num_workers):
    for rank in range(num_workers):
        for batch in batches_of(rank=rank, num_workers=num_workers).evaluation_batches(split):
            assert torch.equal(batch["_row"], batch["label"])
    assert sorted(rows_of(split, num_workers)) == sorted(rows_of(split))


@pytest.mark.parametrize("sample", [1, 7, 20, 21, 500])
def test_ev5_a_sample_is_one_fixed_part_of_the_validation_set_and_larger_ones_hold_it(sample):
    def sampled(split: str, size: int, num_workers: int = 1) -> list[int]:
        return rows_of(split, num_workers, TRIAL.model_copy(update={"values": {"evaluation_sample": size}}))

    found = sampled("validation", sample)
    assert len(set(found)) == len(found) == min(sample, 21)
    assert sorted(sampled("validation", sample, 3)) == found
    assert set(found) <= set(sampled("validation", sample + 1))
    assert sampled("validation_full", sample) == list(range(21))


@pytest.mark.parametrize(
    ("split", "settings", "number"), [("chosen", {}, NUM_CHOSEN), ("validation", {"evaluation_sample": 7}, 7)]
)
def test_ev4_ev5_examples_are_drawn_by_the_studys_seed_alone(split, settings, number):
    """The same for all of a study's trials and workers; from seed to seed each example is as likely as another."""

    def drawn(seed: int, num_workers: int = 1, **of: int) -> list[int]:
        trial = TRIAL.model_copy(update={"seed": seed, "values": settings} | of)
        return rows_of(split, num_workers, trial)

    num_seeds = 400
    counts = np.zeros(21)
    for seed in range(num_seeds):
        found = drawn(seed)
        assert len(set(found)) == len(found) == number
        assert found == sorted(found)
        counts[found] += 1
    share = number / 21
    assert np.abs(counts - num_seeds * share).max() < 5 * np.sqrt(num_seeds * share * (1 - share))
    assert drawn(5, index=9, repeat=2) == drawn(5)
    assert sorted(drawn(5, 3)) == drawn(5)


def test_ev4_a_workload_may_choose_examples_itself():
    data = SharedBatches(TrialExamples(ARRAYS, chosen=[20, 3, 20]), TRIAL, BatchShare(12), torch.device("cpu"))
    (batch,) = data.evaluation_batches("chosen")
    assert batch["label"][batch["_weight"] > 0].tolist() == [3, 20]


@pytest.mark.parametrize("chosen", [[], [21], [-1]])
def test_ev4_examples_that_do_not_exist_are_refused(chosen):
    with pytest.raises(SpecError, match=r"must be rows of the 21 validation examples, but got .*choose among 0 to 20"):
        SharedBatches(TrialExamples(ARRAYS, chosen=chosen), TRIAL, BatchShare(12), torch.device("cpu"))


@pytest.mark.parametrize(("size", "num_workers"), [(12, 1), (13, 2), (20, 3)])
def test_ev1_the_size_of_evaluation_batches_can_be_given(size, num_workers):
    trial = TRIAL.model_copy(update={"values": {"evaluation_batch_size": size}})
    batch = next(iter(batches_of(num_workers=num_workers, trial=trial).evaluation_batches("train")))
    assert len(batch["label"]) == -(-size // num_workers)


def test_ev1_smaller_evaluation_batches_are_refused():
    with pytest.raises(SpecError, match="evaluation_batch_size must be at least batch_size"):
        batches_of(trial=TRIAL.model_copy(update={"values": {"evaluation_batch_size": 11}}))
