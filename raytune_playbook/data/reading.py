"""Reading examples in this process, one after another: what training does with Ray's tasks, for whoever has no cluster.

The same fragments, preprocessing and checks in the same order, but for columns that a kept model has no use for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from raytune_playbook.data.columns import NUMBERS, Array, Columns, concatenated, num_examples, require_alike
from raytune_playbook.data.datasets import Source, Sources
from raytune_playbook.data.decode import HASH, Recipe, decode
from raytune_playbook.data.examples import division_of
from raytune_playbook.data.files.find import UnreadableError
from raytune_playbook.data.materialized.parts import TASK_ROWS, parts_of
from raytune_playbook.data.splits import Hashes
from raytune_playbook.errors import DataError, SpecError
from raytune_playbook.records.types import ColumnRecord
from raytune_playbook.study.datasets import Split
from raytune_playbook.study.evaluation_settings import ROW, WEIGHT


@dataclass(frozen=True)
class Divided:
    """A `Split`, and the number of the division that a trial was trained on."""

    split: Split
    number: int


def read_in_order(
    name: str, source: Source, recipe: Recipe, *, trained: Mapping[str, ColumnRecord] | None = None
) -> Iterator[Columns]:
    """A source's examples, preprocessed and checked, in their order and a part at a time.

    Args:
        name: of the source, for messages.
        trained: for examples of any origin the columns that training had, empty where they are not known: others are
            left out, and numbers of another type are converted. None for the examples of training themselves.

    Raises:
        DataError: they cannot be read, preprocessed or trained on.
    """
    first: Columns | None = None
    for where, read in _read(name, source, recipe):
        columns = read if trained is None or recipe.workload is not None else _taken(read, trained, where)
        if not num_examples(columns) or not num_examples(decoded := decode(columns, recipe, where)):
            continue
        decoded = _as_trained(decoded, trained or {}, where)
        first = first or {column: values[:0] for column, values in decoded.items()}
        require_alike(first, decoded, where)
        yield decoded


def _read(name: str, source: Source, recipe: Recipe) -> Iterator[tuple[str, Columns]]:
    """Each part of a source, with what messages call it."""
    if isinstance(source, Mapping):
        number = num_examples(source)
        for start in range(0, number, TASK_ROWS):
            end = min(start + TASK_ROWS, number)
            rows = {column: values[start:end] for column, values in source.items()}
            yield f"rows {start} to {end - 1} of {name!r}", rows
        return
    for part in parts_of(name, source):
        try:
            columns = part.read()
        except UnreadableError:
            if not recipe.skips:
                raise
            continue
        yield part.name, columns


def read_split(sources: Sources, split: str, recipe: Recipe, divided: Divided | None) -> Iterator[Columns]:
    """The examples of one split, as `read_in_order` gives them.

    Args:
        divided: how a `Split` divides its one source; None where the splits are given.

    Raises:
        InputError: there is no such split, or its examples cannot be read.
    """
    source = sources.by_split.get("all" if divided else split)
    if source is None or (divided and not divided.split.fractions[split]):
        raise SpecError(
            f"A split must be one of the workload's, but it has no {split!r}; return one from Workload.datasets, or "
            "name another."
        )
    recipe = replace(recipe, skips=("all" if divided else split) in sources.skips)
    if divided is None:
        yield from read_in_order(split, source, recipe)
        return
    key = None if divided.split.key is None else tuple(divided.split.key)
    hashing = replace(recipe, hashes="read", key=key)
    hashes = np.concatenate(
        [_hashes(each) for each in read_in_order(split, source, replace(hashing, only_hashes=True))]
    )
    division = division_of(hashes, divided.split.fractions, divided.number, is_exact=not divided.split.grows)
    for columns in read_in_order(split, source, hashing):
        rows = division.rows(_hashes(columns))[split]
        if len(rows):
            yield {name: values[rows] for name, values in columns.items() if name != HASH}


def _hashes(columns: Columns) -> Hashes:
    return columns[HASH].astype(np.uint64)


def padded_batches(blocks: Iterable[Columns], size: int) -> Iterator[Columns]:
    """Batches of ``size`` examples in their order, whatever the blocks; the last one is filled up.

    All have one shape, so that what is computed of an example doesn't depend on how many come with it. The column
    `WEIGHT` is 0 for padding, and `ROW` numbers the examples.
    """
    left: Columns | None = None
    first = 0
    for block in blocks:
        left = block if left is None else concatenated([left, block])
        while num_examples(left) >= size:
            yield _numbered({name: values[:size] for name, values in left.items()}, first, size)
            first += size
            left = {name: values[size:] for name, values in left.items()}
    if left is not None and (number := num_examples(left)):
        fill = np.minimum(np.arange(size), number - 1)
        yield _numbered({name: values[fill] for name, values in left.items()}, first, number)


def _numbered(columns: Columns, first: int, number: int) -> Columns:
    place = np.arange(num_examples(columns))
    return {**columns, ROW: first + place, WEIGHT: (place < number).astype(np.float32)}


def _taken(columns: Columns, trained: Mapping[str, ColumnRecord], where: str) -> Columns:
    """The columns that a model was trained on, or where they are not known those of numbers."""
    taken = {name: each for name, each in columns.items() if (name in trained if trained else _may_be_numbers(each))}
    if not taken:
        wanted = ", ".join(map(repr, sorted(trained))) or "numbers"
        raise DataError(
            f"Examples need the columns that the model was trained on ({wanted}), but {where} has "
            f"{', '.join(map(repr, sorted(columns)))}; name them as they were."
        )
    return taken


def _may_be_numbers(values: Array) -> bool:
    """Whether a column is none of text, times and the like, such as names, which no model takes."""
    if values.dtype != object:
        return values.dtype.kind in NUMBERS
    return not any(isinstance(each, str | bytes) for each in values.flat)


def _as_trained(columns: Columns, trained: Mapping[str, ColumnRecord], where: str) -> Columns:
    """Columns in the types that a model was trained on; further ones of the preprocessing stay as they are."""
    return {
        name: _converted(values, np.dtype(trained[name].dtype), f"{name!r} in {where}") if name in trained else values
        for name, values in columns.items()
    }


def _converted(values: Array, wanted: np.dtype[np.generic], what: str) -> Array:
    if values.dtype == wanted:
        return values
    with np.errstate(all="ignore"):
        converted: Array = values.astype(wanted)
    if wanted.kind != "f" and not np.array_equal(converted, values):
        raise DataError(
            f"Examples must hold numbers like those that the model was trained on, but {what} is {values.dtype}, and "
            f"some of its numbers are no {wanted}; convert them."
        )
    return converted
