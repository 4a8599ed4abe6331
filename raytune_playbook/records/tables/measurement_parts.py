"""Measurements of many trials in one Parquet file, of which each trial's can be read alone.

A part has the columns of the trials' own files behind a column `TRIAL`, the trial's key, and each trial begins a row
group. All trials of a part have the same columns, so that each comes back just as it was. Which trials there are, and
how many rows each has, stands in the file's metadata.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.records.columns import SPLIT, why_no_measurements
from raytune_playbook.records.retries import passes, tried
from raytune_playbook.records.storage import Storage, first_line
from raytune_playbook.records.tables.listing import KEY, BrokenFileError

TRIAL = "trial"

_INDEX = b"trials"

_ROWS_AT_ONCE = 65_536
"""So many rows of a part are decoded at once, or one trial's where they are more."""


class PartWriter:
    """Collects trials with the same columns, and makes one file of them."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = pa.BufferOutputStream()
        named = pa.schema([pa.field(TRIAL, pa.string()), *schema])
        # Numbers that hardly ever repeat are smaller and faster without a dictionary.
        self._writer = pq.ParquetWriter(self._sink, named, use_dictionary=[TRIAL, SPLIT])
        self._num_rows: dict[str, int] = {}

    @property
    def keys(self) -> list[str]:
        """The trials so far."""
        return list(self._num_rows)

    @property
    def num_bytes(self) -> int:
        """Of the file so far."""
        return int(self._sink.tell())

    def add(self, key: str, table: pa.Table) -> None:
        """Add a trial that is not in it yet."""
        self._num_rows[key] = table.num_rows
        if table.num_rows:
            names = pa.array([key]).take(pa.repeat(0, table.num_rows))
            self._writer.write_table(table.add_column(0, TRIAL, names), row_group_size=table.num_rows)

    def content(self) -> bytes:
        """The whole file; nothing can be added any more."""
        self._writer.add_key_value_metadata({_INDEX: json.dumps(self._num_rows)})
        self._writer.close()
        return bytes(self._sink.getvalue().to_pybytes())


class PartReader:
    """One part, from its bytes or from a file that is open.

    Raises:
        BrokenFileError: here and in its methods, where the file is no part or was cut off.
        OSError: likewise, where it cannot be read now.
    """

    def __init__(self, source: pa.BufferReader | pa.NativeFile) -> None:
        with _broken():
            self._file = pq.ParquetFile(source)
            self.num_rows = _index(self._file.metadata.metadata[_INDEX])
            groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._begins = [0, *accumulate(groups)]

    def table(self, key: str) -> pa.Table:
        """One trial's measurements."""
        ((_, table),) = self._tables([key])
        return table

    def tables(self) -> Iterator[tuple[str, pa.Table]]:
        """All trials, some at a time."""
        some: list[str] = []
        num_rows = 0
        for key, number in self.num_rows.items():
            if some and num_rows + number > _ROWS_AT_ONCE:
                yield from self._tables(some)
                some, num_rows = [], 0
            some.append(key)
            num_rows += number
        if some:
            yield from self._tables(some)

    def _tables(self, keys: list[str]) -> Iterator[tuple[str, pa.Table]]:
        """Trials that lie one after another."""
        begins = dict(zip(self.num_rows, accumulate(self.num_rows.values(), initial=0), strict=False))
        begin, end = begins[keys[0]], begins[keys[-1]] + self.num_rows[keys[-1]]
        groups = [i for i, at in enumerate(self._begins[:-1]) if begin <= at < end]
        with _broken():
            table = self._file.read_row_groups(groups, use_threads=False).drop_columns(TRIAL).replace_schema_metadata()
            table.validate(full=True)
            if (why := why_no_measurements(table)) is not None:
                raise BrokenFileError(f"it holds no measurements: {why}")
        for key in keys:
            yield key, table.slice(begins[key] - begin, self.num_rows[key])


def _index(content: bytes) -> dict[str, int]:
    """How many rows each trial has.

    Raises:
        ValueError: that is not what stands there.
    """
    found = json.loads(content)
    if not isinstance(found, dict) or not all(isinstance(num, int) and num >= 0 for num in found.values()):
        raise ValueError("it does not say how many rows each trial has")
    if unknown := [key for key in found if KEY.fullmatch(key) is None]:
        raise ValueError(f"{unknown[0]!r} is no trial's key")
    return found


def part_keys(storage: Storage, path: str) -> list[str]:
    """The trials in a part, of which only the end is read; none where it cannot be read."""

    def keys() -> list[str]:
        with storage.opened(path) as file:
            return list(PartReader(file).num_rows)

    try:
        return tried(keys)
    except BrokenFileError:
        return []


@contextlib.contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if passes(error):  # which says nothing about the file
            raise
        raise BrokenFileError(first_line(error)) from None
    except (pa.ArrowException, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenFileError(first_line(error)) from None
