"""Examples as columns: numpy arrays of shape (num_examples, ...), from Arrow and back, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Columns as Columns

Array: TypeAlias = npt.NDArray[np.generic]
"""A column, of shape (num_examples, ...); one of dtype object holds arrays of different shapes, or texts."""

Rows: TypeAlias = npt.NDArray[np.int64]
"""Numbers of examples, of shape (num_rows,)."""


def from_arrow(table: pa.Table, where: str) -> Columns:
    """A table's columns; lists of one length become further axes, what has no numbers becomes objects.

    Raises:
        DataError: a value is missing.
    """
    return {name: _array(table.column(name), name, where) for name in table.column_names}


def _array(column: pa.ChunkedArray, name: str, where: str) -> Array:
    values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    _refuse_nulls(values, name, where)
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


def _refuse_nulls(values: pa.Array, name: str, where: str) -> None:
    """Refuse nulls among the values, and within their lists at any depth."""
    values = _storage(values)
    if values.null_count:
        raise DataError(
            f"Every example needs a value in every column, but {values.null_count} of {name!r} are missing in {where}; "
            "fill them, drop the examples, or leave the column out with Files(columns=...)."
        )
    if _is_list(values.type):
        _refuse_nulls(values.flatten(), name, where)


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
    require_alike(blocks)
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def require_alike(blocks: Iterable[Columns]) -> None:
    """Check that numpy has nothing to convert where blocks are put together: it would round, cut off or repeat.

    Raises:
        DataError: their columns, types or shapes differ.
    """
    types = [{name: f"{values.dtype}{list(values.shape[1:])}" for name, values in block.items()} for block in blocks]
    different = [each for each in types if each != types[0]]
    if different:
        raise DataError(
            f"All examples need the same columns, types and shapes, but there are {types[0]} and {different[0]}; "
            "make them alike in Workload.preprocess."
        )


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
    arrays = {str(name): values for name, values in _as_arrays(columns, where)}
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
        if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:  # torch has no long double
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


def _as_arrays(columns: Mapping[object, object], where: str) -> Iterable[tuple[object, Array]]:
    for name, values in columns.items():
        try:
            yield name, np.asarray(values)
        except ValueError:  # lists of different lengths
            raise DataError(
                f"All examples of a column need one shape, but those of {name!r} in {where} differ; pad or cut them."
            ) from None


def num_examples(columns: Columns) -> int:
    """The number of rows."""
    return len(next(iter(columns.values())))


def num_bytes(columns: Columns) -> int:
    """How much memory the arrays take."""
    return sum(values.nbytes for values in columns.values())
