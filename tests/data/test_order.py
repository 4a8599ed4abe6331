"""The one global order of examples (DESIGN decision 4, rules MH2, MH3 and EV3)."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from raytune_playbook.data.columns import Rows
from raytune_playbook.data.order import BatchShare, batch_rows, evaluation_rows, first_of_permutation, permutation
from raytune_playbook.errors import SpecError
from raytune_playbook.study.seeds import shared_seed
from tests.data.trials import trial


def batches(num: int, num_examples: int, batch_size: int, rank: int = 0, num_workers: int = 1, **of: int) -> list[Rows]:
    return list(itertools.islice(batch_rows(trial(**of), num_examples, BatchShare(batch_size, rank, num_workers)), num))


def test_qr2_permutations_are_the_same_in_every_version_of_numpy():
    assert permutation(10, 0).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
    large = permutation(100_000, 2**63 - 1)
    assert hashlib.sha256(large.astype("<i8").tobytes()).hexdigest()[:16] == "7f078e0f94ad5e2d"


@pytest.mark.parametrize("num_examples", [1, 2, 7, 1000])
def test_permutations_hold_every_example_once(num_examples):
    assert sorted(permutation(num_examples, 3).tolist()) == list(range(num_examples))


@pytest.mark.parametrize(
    ("num_examples", "number"), [(1, 1), (5, 1), (1000, 1), (1000, 37), (1000, 999), (10, 10), (3, 9)]
)
def test_the_first_of_a_permutation_are_its_first(num_examples, number):
    expected = permutation(num_examples, 4)[:number]
    assert first_of_permutation(num_examples, 4, number).tolist() == expected.tolist()


def test_permutations_are_uniform():
    """Each example is at each place about equally often."""
    counts = np.zeros((6, 6))
    for seed in range(6000):
        counts[np.arange(6), permutation(6, seed)] += 1
    # A count is binomial with mean 1000 and standard deviation 29.
    assert np.abs(counts - 1000).max() < 5 * 29


@pytest.mark.parametrize(("num_examples", "batch_size"), [(24, 8), (25, 8), (31, 8), (8, 8), (9, 8), (100, 1), (7, 4)])
def test_mh3_every_example_comes_once_per_epoch_and_every_batch_is_full(num_examples, batch_size):
    num_epochs = 5
    rows = batches(-(-num_epochs * num_examples // batch_size), num_examples, batch_size)
    assert {len(batch) for batch in rows} == {batch_size}
    order = np.concatenate(rows)
    epochs = [order[epoch * num_examples : (epoch + 1) * num_examples] for epoch in range(num_epochs)]
    assert all(sorted(epoch.tolist()) == list(range(num_examples)) for epoch in epochs)
    # The permutations of the epochs, laid end to end.
    laid = [permutation(num_examples, shared_seed("shuffle", trial(), epoch=epoch)) for epoch in range(num_epochs)]
    assert np.array_equal(np.concatenate(epochs), np.concatenate(laid))
    assert num_examples == 1 or len({epoch.tobytes() for epoch in epochs}) == num_epochs


@pytest.mark.parametrize("num_workers", [1, 2, 3, 4])
@pytest.mark.parametrize("num_examples", [12, 50, 61])
def test_mh3_any_number_of_workers_sees_the_same_global_batches(num_workers, num_examples):
    alone = batches(20, num_examples, 12)
    shares = [batches(20, num_examples, 12, rank, num_workers) for rank in range(num_workers)]
    for k, batch in enumerate(alone):
        assert [len(share[k]) for share in shares] == [12 // num_workers] * num_workers
        assert np.array_equal(np.concatenate([share[k] for share in shares]), batch)


def test_mh2_trials_repeats_and_seeds_have_orders_of_their_own():
    of = [{}, {"index": 1}, {"repeat": 1}, {"seed": 1}]
    first = [batches(1, 100, 50, **each)[0].tobytes() for each in of]
    assert len(set(first)) == len(of)
    assert first == [batches(1, 100, 50, **each)[0].tobytes() for each in of]


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "num_workers", "words"),
    [
        (100, 64, 3, "must be a multiple of the number of workers, but got 64 over 3 workers"),
        (63, 64, 1, "must not exceed the number of training examples, but got 64 of 63; make it smaller"),
        (100, 0, 1, "batch_size must be at least 1, but got 0"),
        (100, -4, 2, "batch_size must be at least 1, but got -4"),
    ],
)
def test_bad_batch_sizes_are_one_sentence(num_examples, batch_size, num_workers, words):
    with pytest.raises(SpecError, match=words) as caught:
        batches(1, num_examples, batch_size, 0, num_workers)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("num_examples", "batch_size"), [(6, 6), (7, 6), (11, 6), (12, 6), (35, 6)])
@pytest.mark.parametrize("rank", [0, 1])
def test_ck2_the_order_starts_at_any_batch(num_examples, batch_size, rank):
    whole = batches(30, num_examples, batch_size, rank, 2)
    for first_batch in range(25):
        started = batch_rows(trial(), num_examples, BatchShare(batch_size, rank, 2), first_batch=first_batch)
        for rows, expected in zip(itertools.islice(started, 30 - first_batch), whole[first_batch:], strict=True):
            assert rows.tolist() == expected.tolist()


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize(("num_examples", "batch_size"), [(1, 1), (1, 8), (7, 4), (16, 8), (17, 8), (50, 7), (359, 64)])
def test_ev3_every_example_counts_once_and_every_batch_has_one_shape(num_workers, num_examples, batch_size):
    counted = np.zeros(num_examples, dtype=np.int64)
    shapes, numbers = set(), set()
    for rank in range(num_workers):
        rank_batches = list(evaluation_rows(num_examples, BatchShare(batch_size, rank, num_workers)))
        numbers.add(len(rank_batches))
        for rows, weights in rank_batches:
            shapes |= {rows.shape, weights.shape}
            assert set(weights.tolist()) <= {0, 1}
            assert rows.min() >= 0
            assert rows.max() < num_examples
            assert not rows[weights == 0].any()
            np.add.at(counted, rows, weights)
    assert counted.tolist() == [1] * num_examples
    assert shapes == {(-(-batch_size // num_workers),)}
    assert len(numbers) == 1  # else some workers would wait for the others in a collective
