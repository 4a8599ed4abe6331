"""Examples read in one process, in their order, for a kept model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from raytune_playbook.data.datasets import find_sources
from raytune_playbook.data.decode import Recipe
from raytune_playbook.data.reading import Divided, padded_batches, read_in_order, read_split
from raytune_playbook.data.splits import division_by_hash, exact_division, example_hashes
from raytune_playbook.errors import DataError, SpecError
from raytune_playbook.records.types import ColumnRecord
from raytune_playbook.study.datasets import Split
from raytune_playbook.study.evaluation_settings import ROW, WEIGHT


def blocks_of(x: np.ndarray, sizes: list[int]):
    return [{"x": part} for part in np.split(x, np.cumsum(sizes))]


@pytest.mark.parametrize("sizes", [[], [1], [8], [3, 9, 1], [20], [16]])
@pytest.mark.parametrize("num", [1, 7, 8, 9, 24])
def test_batches_have_one_size_whatever_the_blocks_and_say_what_is_padding(sizes, num):
    x = np.arange(num, dtype=np.float32)[:, None]
    batches = list(padded_batches(blocks_of(x, [size for size in sizes if size < num]), 8))
    assert {(batch["x"].shape, batch[ROW].shape, batch[WEIGHT].shape) for batch in batches} == {((8, 1), (8,), (8,))}
    assert len(batches) == -(-num // 8)
    real = np.concatenate([batch[WEIGHT] for batch in batches]) > 0
    assert np.concatenate([batch["x"] for batch in batches])[real].tolist() == x.tolist()
    assert np.concatenate([batch[ROW] for batch in batches])[real].tolist() == list(range(num))


def test_no_examples_make_no_batch():
    assert list(padded_batches([], 8)) == list(padded_batches([{"x": np.zeros((0, 1))}], 8)) == []


def test_ev8_what_a_model_says_of_an_example_depends_on_no_other_to_the_bit():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 7)).eval()
    x = np.random.default_rng(0).normal(size=(600, 300)).astype(np.float32)

    def outputs(first: int, last: int) -> torch.Tensor:
        batches = padded_batches(blocks_of(x[first:last], []), 256)
        return torch.cat(
            [model(torch.from_numpy(batch["x"]))[torch.from_numpy(batch[WEIGHT] > 0)] for batch in batches]
        )

    with torch.no_grad():
        whole = outputs(0, 600)
        assert all(torch.equal(outputs(row, row + 1), whole[row : row + 1]) for row in (0, 301, 599))


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_ad7_a_split_is_read_as_a_trial_was_given_it(split, grows, number):
    columns = {"x": np.random.default_rng(0).normal(size=10_000), "key": np.arange(10_000) // 3}
    given = Split(columns, train=0.6, validation=0.3, test=0.1, key="key", grows=grows)
    found = [*read_split(find_sources(given), split, Recipe(), Divided(given, number))]
    hashes = example_hashes(columns, ["key"])
    division = division_by_hash(given.fractions, number) if grows else exact_division(hashes, given.fractions, number)
    assert len(found) > 1  # part by part
    expected = columns["x"][division.rows(hashes)[split]]
    assert np.array_equal(np.concatenate([block["x"] for block in found]), expected)
    assert found[0].keys() == {"x", "key"}


def test_a_split_without_a_share_is_none():
    given = Split({"x": np.arange(9)}, train=0.5, validation=0.5)
    with pytest.raises(SpecError, match="must be one of the workload's, but it has no 'test'; return one from"):
        list(read_split(find_sources(given), "test", Recipe(), Divided(given, 0)))


TRAINED = {"x": ColumnRecord(dtype="float32", shape=(2,)), "n": ColumnRecord(dtype="uint8", shape=())}


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ({"x": np.ones((3, 2), np.float64)}, "float32"),
        ({"x": np.ones((3, 2), np.int64)}, "float32"),
        ({"x": np.ones((3, 5), np.float16)}, "float32"),  # another shape is the model's affair
        ({"n": np.array([1, 2, 255])}, "uint8"),
        ({"n": np.array([1.0, 2.0, 0.0])}, "uint8"),
        ({"n": np.array([True, False])}, "uint8"),
    ],
)
def test_numbers_come_in_the_types_that_the_model_was_trained_on(given, dtype):
    ((name, values),) = given.items()
    others = {"name": np.array(["a"] * len(values)), "more": np.ones(len(values))}
    (found,) = read_in_order("the data", {**given, **others}, Recipe(), trained=TRAINED)
    ((name, values),) = found.items()
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, given[name])


@pytest.mark.parametrize("values", [[256], [-1], [0.5], [np.nan]])
def test_numbers_that_the_type_of_training_does_not_have_are_refused(values):
    with pytest.raises(DataError, match=r"'n' in rows 0 to 0 of 'the data' is \w+, and some .* are no uint8"):
        list(read_in_order("the data", {"n": np.array(values)}, Recipe(), trained=TRAINED))
