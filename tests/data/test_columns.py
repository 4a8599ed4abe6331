"""Examples as columns: from Arrow and back, put together, and checked before anything trains on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray.data.extensions import ArrowTensorArray

from raytune_playbook.data.columns import (
    as_column,
    checked,
    concatenated,
    from_arrow,
    num_bytes,
    num_examples,
    to_arrow,
)
from raytune_playbook.errors import DataError

TENSOR = pa.fixed_shape_tensor(pa.int64(), [2, 3])
TRANSPOSED = pa.fixed_shape_tensor(pa.int64(), [2, 3], permutation=[1, 0])


def column(values: object, kind: pa.DataType | None = None):
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)
    return from_arrow(pa.table({"x": array}), "a.parquet")["x"]


def tensors(kind: pa.DataType, values: list[object]) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


# ------------------------------------------------------------------ from Arrow


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (pa.array([1, 2], pa.int8()), np.int8, [1, 2]),
        (pa.array([0.5, np.nan], pa.float32()), np.float32, [0.5, np.nan]),
        (pa.array(np.float16([0.5, 2])), np.float16, [0.5, 2]),
        (pa.array([True, False, True]), np.bool_, [True, False, True]),
        (pa.array(["a", "é"]), object, ["a", "é"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), object, ["a", "b", "a"]),
        (pa.array([[1, 2], [3, 4]]), np.int64, [[1, 2], [3, 4]]),
        (pa.array([[1, 2], [3, 4]], pa.large_list(pa.int32())), np.int32, [[1, 2], [3, 4]]),
        (pa.array([[1, 2], [3, 4]], pa.list_(pa.uint8(), 2)), np.uint8, [[1, 2], [3, 4]]),
        (pa.array([[[1], [2]], [[3], [4]]]), np.int64, [[[1], [2]], [[3], [4]]]),
        (pa.array([[True, False]]), np.bool_, [[True, False]]),
        (pa.array([["a", "b"], ["c", "d"]]), object, [["a", "b"], ["c", "d"]]),
        (tensors(TENSOR, [[1, 2, 3, 4, 5, 6]]), np.int64, [[[1, 2, 3], [4, 5, 6]]]),
        (tensors(TRANSPOSED, [[1, 2, 3, 4, 5, 6]]), np.int64, [[[1, 4], [2, 5], [3, 6]]]),
        (ArrowTensorArray.from_numpy(np.arange(12).reshape(2, 2, 3)), np.int64, np.arange(12).reshape(2, 2, 3)),
        (tensors(pa.bool8(), [1, 0]), np.int8, [1, 0]),
    ],
)
def test_values_and_lists_of_one_length_become_arrays(values, dtype, expected):
    found = column(values)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.asarray(expected, dtype))
    # Slices and chunks have offsets of their own.
    twice = pa.chunked_array([values, values[:0], values])
    np.testing.assert_array_equal(column(twice), np.asarray([*expected, *expected], dtype))
    np.testing.assert_array_equal(column(twice[1:]), np.asarray([*expected, *expected], dtype)[1:])


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (pa.int64(), (0,)),
        (pa.bool_(), (0,)),
        (pa.list_(pa.float32(), 3), (0, 3)),
        (pa.list_(pa.list_(pa.float32(), 3), 2), (0, 2, 3)),
        (TENSOR, (0, 2, 3)),
    ],
)
def test_no_examples_have_a_shape_too(kind, shape):
    assert column(pa.chunked_array([], kind)).shape == shape
    assert from_arrow(pa.schema([("x", kind)]).empty_table(), "a.parquet")["x"].shape == shape


@pytest.mark.parametrize(
    ("values", "shapes"),
    [
        ([[1], [2, 3], []], [(1,), (2,), (0,)]),
        # As many values as if all had one length.
        ([[1, 2, 3], [4]], [(3,), (1,)]),
        ([[[1, 2]], [[3, 4], [5, 6]]], [(1, 2), (2, 2)]),
        ([["a"], ["b", "c"]], [(1,), (2,)]),
    ],
)
def test_ragged_lists_become_objects(values, shapes):
    for array in (pa.array(values), pa.chunked_array([pa.array(values[:1]), pa.array(values[1:])])):
        found = column(array)
        assert found.dtype == object
        assert [each.shape for each in found] == shapes
        assert [each.tolist() for each in found] == values
        assert {each.dtype for each in found} == {np.dtype(object if isinstance(values[0][0], str) else np.int64)}


def test_ragged_within_an_example_is_an_object_of_lists():
    found = column([[[1, 2], [3]], [[4], [5]]])
    assert found[0].tolist() == [[1, 2], [3]]
    assert found[0].dtype == object
    assert found[1].tolist() == [[4], [5]]
    assert found[1].dtype == np.int64


@pytest.mark.parametrize(
    ("values", "number", "row"),
    [
        (pa.array([1, None, None]), 2, 1),
        (pa.array([None, "a"]), 1, 0),
        (pa.nulls(3), 3, 0),
        (pa.array([[1, 2], None]), 1, 1),
        (pa.array([[1, None], [3, 4]]), 1, 0),
        (pa.array([[1, 2], [3], [None]]), 1, 2),
        (pa.array([[[1, 1]], [[2, None]], [[None, 3]]]), 2, 1),
        (pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), 1, 1),
        (tensors(TENSOR, [[1, 2, 3, 4, 5, 6], None]), 1, 1),
        (tensors(TENSOR, [[1, 2, 3, 4, 5, None]]), 1, 0),
        (pa.array(["a", None]).dictionary_encode(), 1, 1),
        (pa.chunked_array([[1], [None]], pa.int64()), 1, 1),
    ],
)
def test_missing_values_are_refused_by_name_and_place(values, number, row):
    words = rf"but {number} of 'x' are missing in a.parquet, the first in row {row}; fill them, .*columns="
    with pytest.raises(DataError, match=words):
        column(values)


@pytest.mark.parametrize("kind", [pa.list_view(pa.int64()), pa.large_list_view(pa.list_(pa.int8()))])
def test_views_of_lists_are_refused_by_name_and_place(kind):
    with pytest.raises(DataError, match=r"be plain ones, but 'x' in a.parquet is \w*list_view<.*; cast it to list"):
        column(pa.array([], kind))


# ------------------------------------------------------------------ to Arrow

KINDS = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
]


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 3), (4, 1, 1, 2), (1, 3), (0,), (0, 3)])
def test_columns_survive_a_file_that_pyarrow_alone_can_read(dtype, shape, tmp_path):
    values = (np.random.default_rng(0).random(shape) * 100).astype(dtype)
    for array in (values, np.asfortranarray(values), np.repeat(values, 2, axis=0)[::2]):
        pq.write_table(to_arrow({"x": array, "row": np.arange(len(values))}), tmp_path / "a.parquet")
        found = from_arrow(pq.read_table(tmp_path / "a.parquet"), "a.parquet")
        assert list(found) == ["x", "row"]
        assert found["x"].dtype == values.dtype
        assert found["x"].shape == shape
        np.testing.assert_array_equal(found["x"], values)


# ------------------------------------------------------------------ together


def test_parts_are_laid_end_to_end_as_a_copy():
    first, second = {"x": np.zeros((2, 3)), "y": np.array([1, 2])}, {"y": np.array([3]), "x": np.ones((1, 3))}
    found = concatenated([first, second])
    assert found["x"].tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert found["y"].tolist() == [1, 2, 3]
    found["x"][0] = 5
    assert not first["x"].any()
    assert (num_examples(found), num_bytes(found)) == (3, 3 * 3 * 8 + 3 * 8)


@pytest.mark.parametrize(
    "second",
    [
        {"x": np.zeros((2, 4), np.float32)},
        {"x": np.zeros((2, 1), np.float32)},
        {"x": np.zeros(2, np.float32)},
        {"x": np.zeros((2, 3), np.float64)},
        {"x": np.zeros((2, 3), np.int64)},
        {"z": np.zeros((2, 3), np.float32)},
        {"x": np.zeros((2, 3), np.float32), "z": np.zeros(2)},
        {},
    ],
)
def test_parts_that_differ_are_refused_in_either_order(second):
    first = {"x": np.zeros((1, 3), np.float32)}
    for parts in ([first, second], [second, first], [first, first, second]):
        words = r"need the same columns, types and shapes, but '[xz]' is .+ in the first and .+ in row \d; make"
        with pytest.raises(DataError, match=words) as caught:
            concatenated(parts)
        assert "float32[3]" in str(caught.value) or "missing" in str(caught.value)


def test_parts_that_differ_say_from_which_row_on():
    parts = [{"x": np.zeros((4, 2))}, {"x": np.zeros((3, 2))}, {"x": np.zeros((1, 5))}]
    with pytest.raises(DataError, match=r"'x' is float64\[2\] in the first and float64\[5\] in row 7; make them alike"):
        concatenated(parts)


# ------------------------------------------------------------------ checked


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        ([1, 2], np.int64),
        ([True, False], np.bool_),
        ([[0.5], [1.5]], np.float64),
        (np.array([1, 2], ">i2"), np.int16),
        (np.array([[1.0], [np.nan]], ">f4"), np.float32),
        (np.ones((3, 2), np.float16).T, np.float16),
    ],
)
def test_what_can_be_trained_on_comes_back_native_and_contiguous(given, dtype):
    found = checked({"x": given, 7: [1, 2]}, "a batch", num_examples=2, label="7")
    assert list(found) == ["x", "7"]
    assert found["x"].dtype == dtype
    assert found["x"].dtype.isnative
    assert found["x"].flags.c_contiguous
    np.testing.assert_array_equal(found["x"], np.asarray(given))


def test_checking_copies_nothing_that_is_as_it_must_be():
    given = np.zeros((2, 3), np.float32)
    assert np.shares_memory(checked({"x": given}, "a batch")["x"], given)


def objects(*values: object) -> np.ndarray:
    column = np.empty(len(values), object)
    column[:] = values
    return column


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (objects(np.float32([1, 2]), np.float32([3, 4])), np.float32([[1, 2], [3, 4]])),
        (pd.Series([np.float32([1, 2]), np.float32([3, 4])]), np.float32([[1, 2], [3, 4]])),
        (objects([[1, 2]], [[3, 4]]), np.array([[[1, 2]], [[3, 4]]])),
        ([np.int8([1, 2]), np.int8([3, 4])], np.int8([[1, 2], [3, 4]])),
        (objects(np.bool_([True]), np.bool_([False])), np.array([[True], [False]])),
    ],
)
def test_objects_that_are_arrays_of_one_shape_are_stacked(given, expected):
    for found in (as_column(given), checked({"x": given}, "a batch")["x"]):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (objects(1, 2.5), np.array([1, 2.5])),
        (objects(np.float32(1), 2), np.array([1.0, 2.0])),
        (objects(True, False), np.array([True, False])),
        (objects([1, 2], [0.5, 1]), np.array([[1, 2], [0.5, 1]])),
    ],
)
def test_objects_of_several_types_keep_them_until_they_are_to_be_trained_on(given, expected):
    assert as_column(given) is given or as_column(given).dtype == object  # for their hashes
    found = checked({"x": given}, "a batch")["x"]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_lists_of_several_lengths_are_objects_for_the_preprocessing_to_pad():
    found = as_column([[1], [1, 2]])
    assert found.dtype == object
    assert [each.tolist() for each in found] == [[1], [1, 2]]
    assert [each.dtype for each in found[1:]] == [np.int64]
    ragged = as_column([[[1], [2, 3]], [[4]]])
    assert [each.tolist() for each in ragged[0]] == [[1], [2, 3]]


OBJECTS = objects(np.zeros(1), np.zeros(2))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (None, "a mapping of columns, but a batch gives NoneType; return one"),
        ([1, 2], "a batch gives list"),
        ({}, "a batch gives dict"),
        ({"x": [1, 2], "y": [1]}, r"must have one length, but a batch gives \{'x': 2, 'y': 1\}"),
        ({"x": 3.0}, r"one length, but a batch gives \{'x': 'a single value'\}"),
        ({"x": [1], "y": np.float32(1)}, r"\{'x': 1, 'y': 'a single value'\}"),
        ({"x": [1, 2, 3, 4]}, "must keep its number of examples, but a batch gives 4 for 2; keep each example"),
        ({"x": ["a", "b"]}, "must hold numbers .* but 'x' in a batch is of dtype <U1; encode, pad or drop it"),
        ({"x": OBJECTS}, r"one shape, but 'x' in a batch has \(1,\) in row 0 and \(2,\) in row 1; pad or cut them in"),
        ({"x": objects([1, 2], [[1, 2]])}, r"has \(2,\) in row 0 and \(1, 2\) in row 1; pad or cut"),
        ({"x": [1, None]}, "needs a value in every column, but 'x' in a batch has none in row 1; fill it, drop"),
        ({"x": objects(np.zeros(2), None)}, "but 'x' in a batch has none in row 1"),
        ({"x": objects({"a": 1}, {})}, "'x' in a batch is of dtype object; encode, pad or drop"),
        ({"x": objects([[1], [2, 3]], [[4]])}, "'x' in a batch is of dtype object; encode, pad or drop"),
        ({"x": np.array(["2024-01-01"] * 2, "M8[D]")}, r"is of dtype datetime64\[D\]"),
        ({"x": np.zeros(2, complex)}, "is of dtype complex128"),
        ({"x": [[1], [1, 2]]}, r"one shape, but 'x' in a batch has \(1,\) in row 0 and \(2,\) in row 1; pad or cut"),
        ({"label": [0.0, np.nan]}, "must be numbers, but 1 of column 'label' are NaN in a batch, the first in row 1"),
        ({"label": [[np.nan, np.nan], [0, np.nan]]}, "but 2 of column 'label' are NaN in a batch, the first in row 0"),
    ],
)
def test_what_cannot_be_trained_on_is_one_sentence(columns, words):
    with pytest.raises(DataError, match=words) as caught:
        checked(columns, "a batch", num_examples=2, label="label")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="a long double is a double here")
def test_numbers_that_torch_does_not_have_are_refused():
    with pytest.raises(DataError, match="must hold numbers"):
        checked({"x": np.zeros(2, np.longdouble)}, "a batch")


def test_only_labels_may_not_be_nan():
    assert np.isnan(checked({"x": [np.nan], "label": [1]}, "a batch", label="label")["x"]).all()
    assert np.isnan(checked({"label": [np.nan]}, "a batch")["label"]).all()
    assert np.isinf(checked({"label": [np.inf]}, "a batch", label="label")["label"]).all()
