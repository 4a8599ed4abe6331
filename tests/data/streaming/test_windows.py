"""The one order of examples that are read window by window, against brute force (rules MH2, MH3)."""

from __future__ import annotations

import functools
import gc
import itertools
import weakref
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from raytune_playbook.data.columns import Columns
from raytune_playbook.data.order import BatchShare
from raytune_playbook.data.streaming.windows import (
    Layout,
    Place,
    Segment,
    batches,
    fragment_order,
    gather,
    rank_rows,
    window_order,
)
from raytune_playbook.errors import DataError
from raytune_playbook.study.trial import TrialSpec
from tests.data.trials import trial

TRIAL = trial()
NUM_EPOCHS = 4

GOLDEN_FRAGMENTS = [4, 1, 6, 0, 5, 7, 3, 2]
GOLDEN_WINDOW = [1, 5, 3, 4, 6, 2, 7, 0]
GOLDEN_BATCHES = [[8, 6, 7, 5, 3, 2], [1, 0, 4, 6, 5, 7]]

SIZES = {
    "one fragment": (24,),
    "one example": (1,),
    "even": (6, 6, 6, 6),
    "uneven": (5, 1, 13, 2, 9, 1),
    "many": tuple(1 + number % 4 for number in range(20)),
}
"""Numbers of examples of each fragment."""


def key_of(of: TrialSpec) -> tuple[int, int, int]:
    return of.index, of.repeat, of.seed


@functools.cache
def epoch_order(sizes: tuple[int, ...], epoch: int, key: tuple[int, int, int]) -> list[int]:
    """An epoch's fragments laid end to end; numbers count from the first example of the first fragment."""
    starts = np.cumsum([0, *sizes])
    order = fragment_order(trial(*key), epoch, len(sizes))
    return [int(starts[fragment]) + row for fragment in order for row in range(sizes[fragment])]


@functools.cache
def brute_force(sizes: tuple[int, ...], window: int, key: tuple[int, int, int]) -> list[int]:
    """The order of `NUM_EPOCHS` epochs, from what DESIGN says alone."""
    whole: list[int] = []
    for epoch in range(NUM_EPOCHS):
        laid = epoch_order(sizes, epoch, key)
        windows = [laid[start : start + window] for start in range(0, len(laid), window)]
        for number, examples in enumerate(windows):
            order = window_order(trial(*key), Place(epoch, number), len(examples))
            whole += [examples[row] for row in order]
    return whole


@functools.cache
def blocks_of(
    sizes: tuple[int, ...], layout: Layout, place: Place, key: tuple[int, int, int]
) -> dict[Segment, Columns]:
    """A window's segments in the blocks of its fragments, which begin and end anywhere."""
    laid = epoch_order(sizes, place.epoch, key)
    first = place.window * layout.window_examples
    blocks: dict[Segment, Columns] = {}
    start = 0
    for fragment in fragment_order(trial(*key), place.epoch, len(sizes)):
        end = start + sizes[fragment]
        begin, stop = max(start, first), min(end, first + layout.size(place.window))
        if begin < stop:
            rows = np.array(laid[start:end])
            segment = Segment(begin - first, stop - begin, begin - start)
            blocks[segment] = {"row": rows, "pixels": rows[:, None] * np.array([1.0, 2.0])}
        start = end
    return blocks


def windows(
    sizes: tuple[int, ...], window: int, batch_size: int, first_batch: int, rank: int, num_workers: int, of: TrialSpec
) -> Iterator[Columns]:
    """A rank's rows of each window up to the end of the last epoch."""
    layout = Layout(sum(sizes), window)
    position = first_batch * batch_size
    place = layout.place(position)
    assert layout.start(place) + place.offset == position
    while place.epoch < NUM_EPOCHS:
        rows = rank_rows(of, layout, place, BatchShare(batch_size, rank, num_workers), first=position)
        yield gather(blocks_of(sizes, layout, place, key_of(of)), rows)
        place = layout.after(place)


def global_batches(
    sizes: tuple[int, ...],
    window: int,
    batch_size: int,
    first_batch: int = 0,
    num_workers: int = 1,
    of: TrialSpec | None = None,
) -> list[list[int]]:
    """What all workers see together, batch by batch."""
    of = of or trial()
    shares = []
    for rank in range(num_workers):
        made = windows(sizes, window, batch_size, first_batch, rank, num_workers, of)
        shares.append(list(batches(made, batch_size // num_workers)))
    # The end of the last epoch cuts off a batch that only the first ranks have whole.
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for batch in itertools.chain(*shares):
        assert len(batch["row"]) == batch_size // num_workers
        assert np.array_equal(batch["pixels"], batch["row"][:, None] * [1, 2])
    return [[row for share in step for row in share["row"].tolist()] for step in zip(*shares, strict=False)]


# Windows of one example, smaller than a batch, as large, larger, of an epoch, and larger than that.
@pytest.mark.parametrize("window", [1, 2, 5, 6, 7, 12, 24, 31, 1000])
@pytest.mark.parametrize("fragments", SIZES)
def test_mh3_the_order_is_the_one_of_brute_force_from_any_batch_on(fragments, window):
    sizes = SIZES[fragments]
    whole = brute_force(sizes, window, key_of(TRIAL))
    for batch_size in (1, 2, 6, 12, 25):  # the last ones straddle several windows, and epochs of one example
        expected = [whole[start : start + batch_size] for start in range(0, len(whole) - batch_size + 1, batch_size)]
        assert global_batches(sizes, window, batch_size) == expected
        for first_batch in {0, 1, 2, 3, 5, len(expected) // 2, len(expected) - 1} & set(range(len(expected))):
            assert global_batches(sizes, window, batch_size, first_batch) == expected[first_batch:]


@pytest.mark.parametrize("window", [1, 4, 6, 7, 31, 100])
@pytest.mark.parametrize("fragments", SIZES)
@pytest.mark.parametrize("num_workers", [2, 3])
def test_mh3_any_number_of_workers_sees_the_same_global_batches(fragments, window, num_workers):
    for batch_size, first_batch in itertools.product((6, 12, 30), (0, 1)):
        alone = global_batches(SIZES[fragments], window, batch_size, first_batch)
        assert global_batches(SIZES[fragments], window, batch_size, first_batch, num_workers) == alone


@pytest.mark.parametrize("window", [1, 3, 7, 31, 100])
def test_mh3_every_example_comes_once_per_epoch_and_no_epoch_is_like_another(window):
    sizes = SIZES["uneven"]
    rows = list(itertools.chain(*global_batches(sizes, window, 1)))
    epochs = [tuple(rows[start : start + sum(sizes)]) for start in range(0, len(rows), sum(sizes))]
    assert [sorted(epoch) for epoch in epochs] == [list(range(sum(sizes)))] * NUM_EPOCHS
    assert len(set(epochs)) == NUM_EPOCHS


def test_mh2_trials_repeats_and_seeds_have_orders_of_their_own():
    of = [{}, {"index": 1}, {"repeat": 1}, {"seed": 1}]
    for order in (
        lambda trial_: fragment_order(trial_, 0, 50).tobytes(),
        lambda trial_: window_order(trial_, Place(0, 0), 50).tobytes(),
        lambda trial_: str(global_batches(SIZES["many"], 7, 12, of=trial_)).encode(),
    ):
        found = [order(trial(**each)) for each in of]
        assert len(set(found)) == len(of)
        assert found == [order(trial(**each)) for each in of]


def test_mh2_epochs_and_windows_have_orders_of_their_own():
    places = [Place(epoch, window) for epoch, window in itertools.product(range(5), range(5))]
    assert len({window_order(trial(), place, 50).tobytes() for place in places}) == len(places)
    assert len({fragment_order(trial(), epoch, 50).tobytes() for epoch in range(5)}) == 5
    # Where in its window a worker begins changes nothing.
    assert np.array_equal(window_order(trial(), Place(1, 2, 33), 50), window_order(trial(), Place(1, 2), 50))


def test_mh2_orders_are_the_same_in_every_version():
    assert fragment_order(trial(3, seed=7), 2, 8).tolist() == GOLDEN_FRAGMENTS
    assert window_order(trial(3, seed=7), Place(2, 5), 8).tolist() == GOLDEN_WINDOW
    assert global_batches((3, 2, 4), 4, 6, of=trial(1, 2, 3))[:2] == GOLDEN_BATCHES


@pytest.mark.parametrize(("num_examples", "window"), [(1, 1), (10, 3), (10, 5), (10, 10), (10, 11), (7, 1)])
def test_a_position_is_a_place_and_back(num_examples, window):
    layout = Layout(num_examples, window)
    sizes = [layout.size(number) for number in range(layout.num_windows)]
    assert sum(sizes) == num_examples
    assert set(sizes[:-1]) <= {window}
    assert 0 < sizes[-1] <= window
    place = Place(0, 0)
    for position in range(3 * num_examples):
        found = layout.place(position)
        if position and not found.offset:
            place = layout.after(place)
        assert (found.epoch, found.window) == (place.epoch, place.window)
        assert layout.start(found) + found.offset == position
        assert found.offset < layout.size(found.window)


# ------------------------------------------------------------------ gather and batches


def test_examples_are_gathered_in_the_order_that_is_asked_for():
    blocks = {
        Segment(0, 2, 3): {"x": np.arange(5), "flag": np.arange(5) > 3},
        Segment(2, 3, 0): {"flag": np.ones(9, bool), "x": np.arange(10, 19)},
    }
    found = gather(blocks, np.array([4, 0, 1, 2, 0]))
    assert found["x"].tolist() == [12, 3, 4, 10, 3]
    assert found["flag"].tolist() == [True, False, True, True, False]
    none = gather(blocks, np.array([], np.int64))
    assert (none["x"].shape, none["flag"].dtype) == ((0,), bool)


@pytest.mark.parametrize(
    "second", [np.zeros(2, np.float64), np.zeros((2, 1), np.int64), np.zeros((2, 3), np.int64), np.zeros(2, np.int32)]
)
def test_blocks_that_differ_are_refused_instead_of_being_converted(second):
    blocks = {Segment(0, 2, 0): {"x": np.zeros(2, np.int64)}, Segment(2, 2, 0): {"x": second}}
    with pytest.raises(DataError, match=r"same columns, types and shapes.*make them alike in Workload.preprocess"):
        gather(blocks, np.arange(4))
    blocks[Segment(2, 2, 0)] = {"x": np.zeros(2, np.int64), "y": np.zeros(2)}
    with pytest.raises(DataError, match="same columns"):
        gather(blocks, np.arange(4))


def in_windows(sizes: list[int]) -> list[npt.NDArray[np.int64]]:
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("sizes", [[10], [3, 3, 3], [1] * 9, [4, 0, 0, 5, 1], [0, 0], [0, 7, 0, 2], [2, 11, 1, 1, 6]])
def test_batches_are_all_full_and_in_order(sizes, size):
    made = list(batches(({"x": window} for window in in_windows(sizes)), size))
    number = sum(sizes) // size
    assert [batch["x"].tolist() for batch in made] == np.arange(number * size).reshape(-1, size).tolist()


def test_a_batch_that_is_written_to_changes_no_other():
    given = ({"x": window.copy()} for window in in_windows([5, 1, 6, 12]))
    found = []
    for batch in batches(given, 4):
        found.append(batch["x"].tolist())
        batch["x"][:] = -1
    assert found == np.arange(24).reshape(-1, 4).tolist()


def test_what_is_left_of_a_window_does_not_keep_it_alive():
    arrays: list[weakref.ref[npt.NDArray[np.generic]]] = []
    alive: list[int] = []

    def window() -> Columns:
        array = np.zeros(5)
        arrays.append(weakref.ref(array))
        return {"x": array}

    def given() -> Iterator[Columns]:
        while True:
            gc.collect()
            alive.append(sum(array() is not None for array in arrays))
            yield window()

    for _ in itertools.islice(batches(given(), 3), 8):
        del _  # a batch is a part of a window
    assert alive == [0] * 5
