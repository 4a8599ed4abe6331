"""Examples as columns: numpy arrays of shape (num_examples, ...), from Arrow and back, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Columns as Columns

Array: TypeAlias = npt.NDArray[np.generic]
"""A column, of shape (num_examples, ...); one of dtype object holds arrays of different shapes, or texts."""

NUMBERS = "biuf"
"""The kinds of dtypes that can be trained on: booleans, integers, and floating-point numbers."""

Rows: TypeAlias = npt.NDArray[np.int64]
"""Numbers of examples, of shape (num_rows,)."""


def from_arrow(table: pa.Table, where: str) -> Columns:
    """A table's columns; lists of one length become further axes, what has no numbers becomes objects.

    Raises:
        DataError: a value is missing.
    """
    return {name: _array(table.column(name), name, where) for name in table.column_names}


def _array(column: pa.ChunkedArray, name: str, where: str) -> Array:
    if "list_view" in str(column.type):  # pyarrow's own functions end the process on some of these
        raise DataError(
            f"Columns of lists must be plain ones, but {name!r} in {where} is {column.type}; cast it to list or a list "
            "of fixed size."
        )
    values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if num_missing := _num_missing(values):
        row = next(row for row in range(len(values)) if _num_missing(values[row : row + 1]))
        raise DataError(
            f"Every example needs a value in every column, but {num_missing} of {name!r} are missing in {where}, the "
            f"first in row {row}; fill them, drop the examples, or leave the column out with Files(columns=...)."
        )
    if isinstance(values, pa.FixedShapeTensorArray) and len(values):
        tensor: Array = values.to_numpy_ndarray()
        return tensor
    declared, values = values.type, _storage(values)
    array = _dense(values)
    if array is None:  # ragged: for the preprocessing to pad or cut
        return _objects(values)
    # A tensor type, such as Ray's, stores flat lists and has their shape beside them, with None for what varies.
    shape = getattr(declared, "shape", None)
    return array if shape is None or None in shape else array.reshape(len(array), *shape)


def _dense(values: pa.Array) -> Array | None:
    """An array with an axis for each level of lists; None where lists of one level have different lengths."""
    shape = [len(values)]
    while _is_list(values.type):
        lengths = {values.type.list_size} if pa.types.is_fixed_size_list(values.type) else _lengths(values)
        if len(lengths) > 1:
            return None
        shape.append(lengths.pop() if lengths else 0)
        values = values.flatten()
    array: Array = values.to_numpy(zero_copy_only=False)
    return array.reshape(shape)


def _objects(values: pa.Array) -> Array:
    objects = np.empty(len(values), object)
    for row in range(len(values)):
        one = _dense(values[row : row + 1])
        objects[row] = np.asarray(values[row].as_py(), object) if one is None else one[0]
    return objects


def _storage(values: pa.Array) -> pa.Array:
    return values.storage if isinstance(values.type, pa.BaseExtensionType) else values


def _is_list(declared: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_one(declared) for is_one in tests)


def _lengths(values: pa.Array) -> set[int]:
    return set(values.value_lengths().unique().to_pylist())


def _num_missing(values: pa.Array) -> int:
    """How many nulls are among the values, or within their lists at any depth."""
    values = _storage(values)
    return int(values.null_count) or (_num_missing(values.flatten()) if _is_list(values.type) else 0)


def to_arrow(columns: Columns) -> pa.Table:
    """A table that `from_arrow` turns back into the same columns, and that pyarrow alone can read."""
    return pa.table({name: _arrow_array(values) for name, values in columns.items()})


def _arrow_array(values: Array) -> pa.Array:
    if values.ndim > 1 and values.size and values.dtype.kind in "iuf":
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))
    array = pa.array(values.reshape(-1))
    for length in reversed(values.shape[1:]):  # booleans and no examples at all: Arrow has no tensors of these
        array = pa.FixedSizeListArray.from_arrays(array, length)
    return array


def concatenated(blocks: Sequence[Columns]) -> Columns:
    """Blocks of examples laid end to end.

    Raises:
        DataError: their columns, types or shapes differ.
    """
    row = 0
    for block in blocks:
        require_alike(blocks[0], block, f"row {row}")
        row += num_examples(block) if block else 0
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def require_alike(first: Columns, block: Columns, where: str) -> None:
    """Check that numpy has nothing to convert where blocks are put together: it would round, cut off or repeat.

    Args:
        where: names the place of the second block for messages.

    Raises:
        DataError: their columns, types or shapes differ.
    """
    expected, found = types_of(first), types_of(block)
    different = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if different:
        name = different[0]
        raise DataError(
            f"All examples need the same columns, types and shapes, but {name!r} is {expected.get(name, 'missing')} in "
            f"the first and {found.get(name, 'missing')} in {where}; make them alike in Workload.preprocess."
        )


def types_of(columns: Columns) -> dict[str, str]:
    """By column, how messages call its type and the shape of one example."""
    return {name: f"{values.dtype}{list(values.shape[1:])}" for name, values in columns.items()}


# ---------------------------------------------------------------------- given by a user


def as_column(values: object) -> Array:
    """A column that is given as an array, a list or a series: (num_examples, ...).

    Examples that are arrays or lists of one shape and type are stacked; others stay objects, for the preprocessing to
    pad or cut.
    """
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        if not isinstance(values, Sequence):
            raise
        array = np.empty(len(values), object)
        for row, each in enumerate(values):
            array[row] = as_column(each)
    if array.dtype != object or array.ndim != 1:
        return array
    examples = _example_arrays(array)
    return np.stack(examples) if len({(each.shape, each.dtype) for each in examples}) == 1 else array


def _example_arrays(column: Array) -> list[Array]:
    """The examples of a column of objects as arrays of numbers; none where one of them is something else."""
    if not all(isinstance(each, list | tuple | np.ndarray) for each in column):
        return []
    try:
        arrays = [np.asarray(each) for each in column]
    except ValueError:  # ragged within an example
        return []
    return arrays if all(each.dtype.kind in NUMBERS for each in arrays) else []


def checked(columns: object, where: str, *, num_examples: int | None = None, label: str | None = None) -> Columns:
    """What the examples of one place must be to train on: columns of numbers with one length, labels that are numbers.

    Args:
        where: names the place for messages.
        num_examples: how many there must be; None for any number.
        label: a column that must hold no NaN, where there is one of its name.

    Raises:
        DataError: they are not.
    """
    if not isinstance(columns, Mapping) or not columns:
        raise DataError(f"Examples are a mapping of columns, but {where} gives {type(columns).__name__}; return one.")
    arrays = {str(name): _numbers(as_column(values), str(name), where) for name, values in columns.items()}
    lengths = {name: len(values) if values.ndim else "a single value" for name, values in arrays.items()}
    if len(set(lengths.values())) != 1 or "a single value" in lengths.values():
        raise DataError(
            f"All columns must have one length, but {where} gives {lengths}; give every example a value in "
            "every column."
        )
    if num_examples is not None and (found := next(iter(lengths.values()))) != num_examples:
        raise DataError(
            f"A batch must keep its number of examples, but {where} gives {found} for {num_examples}; keep each "
            "example in Workload.preprocess, or prune them before with `raytune-playbook preprocess`."
        )
    for name, values in arrays.items():
        if values.dtype.kind not in NUMBERS or values.dtype.itemsize > 8:  # torch has no long double
            raise DataError(
                f"Columns must hold numbers in arrays of one shape, but {name!r} in {where} is of dtype "
                f"{values.dtype}; encode, pad or drop it in Workload.preprocess."
            )
        arrays[name] = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    if label is not None and label in arrays and arrays[label].dtype.kind == "f":
        wrong = np.flatnonzero(np.isnan(arrays[label]).reshape(len(arrays[label]), -1).any(axis=1))
        if len(wrong):
            raise DataError(
                f"Labels must be numbers, but {len(wrong)} of column {label!r} are NaN in {where}, the first in row "
                f"{wrong[0]}; correct or drop these examples."
            )
    return arrays


def _numbers(column: Array, name: str, where: str) -> Array:
    """A column of objects that are numbers, or arrays of them in one shape, as an array of numbers."""
    if column.dtype != object or column.ndim != 1:
        return column
    if all(isinstance(each, bool | int | float | np.number | np.bool_) for each in column):
        return np.array(column.tolist())
    absent = next((row for row, each in enumerate(column) if each is None), None)
    if absent is not None:
        raise DataError(
            f"Every example needs a value in every column, but {name!r} in {where} has none in row {absent}; fill it, "
            "drop the example, or leave the column out."
        )
    examples = _example_arrays(column)
    shapes = [each.shape for each in examples]
    if other := next((row for row, shape in enumerate(shapes) if shape != shapes[0]), None):
        raise DataError(
            f"All examples of a column need one shape, but {name!r} in {where} has {shapes[0]} in row 0 and "
            f"{shapes[other]} in row {other}; pad or cut them in Workload.preprocess."
        )
    return np.stack(examples) if examples else column


def num_examples(columns: Columns) -> int:
    """The number of rows."""
    return len(next(iter(columns.values())))


def num_bytes(columns: Columns) -> int:
    """How much memory the arrays take."""
    return sum(values.nbytes for values in columns.values())
