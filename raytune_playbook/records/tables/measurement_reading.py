"""Measurements of one trial, or of all of a study, from streams, sealed files and parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from raytune_playbook.records.columns import why_no_measurements
from raytune_playbook.records.retries import tried
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.tables.listing import (
    MOST_PASSES,
    BrokenFileError,
    Listing,
    always_changing,
    is_part,
    key_of,
    list_folder,
    parquet_table,
    read_folder,
    single_file,
)
from raytune_playbook.records.tables.measurement_parts import PartReader

_Made = TypeVar("_Made")


def trial_measurements(storage: Storage, folder: str, key: str) -> pa.Table | None:
    """The measurements of one trial; None where there are none.

    Raises:
        BrokenFileError: they cannot be read.
    """
    for _ in range(MOST_PASSES):
        try:
            return _trial_measurements(storage, folder, key, list_folder(storage, folder))
        except FileNotFoundError:  # sealed or compacted since
            continue
    raise always_changing(storage, folder)


def all_measurements(
    storage: Storage, folder: str, make: Callable[[str, pa.Table], _Made]
) -> tuple[dict[str, _Made], dict[str, str]]:
    """What ``make`` makes of each trial's measurements, and why files cannot be read, by their names."""

    def parse(file: str, content: bytes) -> dict[str, _Made]:
        if is_part(file):
            return {key: make(key, table) for key, table in PartReader(pa.BufferReader(content)).tables()}
        key = key_of(file)
        table = parquet_table(content) if file == single_file(key) else read_stream(content)
        if table is None:
            raise BrokenFileError("not even its first rows are whole")
        return {key: make(key, _required(table))}

    content = read_folder(storage, folder, parse)
    return {key: made for of_file in content.files.values() for key, made in of_file.items()}, dict(content.broken)


def read_stream(content: bytes) -> pa.Table | None:
    """The rows of an Arrow IPC stream, up to where it was cut off; None where not even its schema is whole."""
    try:
        reader = pa.ipc.open_stream(content)
        if not reader.schema.names:  # which may be no UTF-8
            return None
    except (pa.ArrowException, OSError, ValueError):
        return None
    batches = []
    while True:
        # Its end, or the place where the writer was killed.
        with contextlib.suppress(StopIteration, pa.ArrowException, OSError, ValueError):
            batch = reader.read_next_batch()
            batch.validate(full=True)  # what offsets beyond a buffer's end would lead to is read unasked
            batches.append(batch)
            continue
        break
    return pa.Table.from_batches(batches, schema=reader.schema)


def _required(table: pa.Table) -> pa.Table:
    """The same table, where it holds measurements."""
    if (why := why_no_measurements(table)) is not None:
        raise BrokenFileError(f"it holds no measurements: {why}")
    return table


def _trial_measurements(storage: Storage, folder: str, key: str, listing: Listing) -> pa.Table | None:
    def content(file: str) -> bytes:
        found = storage.read(f"{folder}/{file}")
        if found is None:
            raise FileNotFoundError(f"{storage.root}/{folder}/{file}")
        return found

    if key in listing.streams:
        table = read_stream(content(listing.streams[key]))
        return None if table is None else _required(table)
    if key in listing.singles:
        return _required(parquet_table(content(single_file(key))))
    spanning = (f"{folder}/{part.file}" for part in reversed(listing.parts) if part.spans(key))
    return next((table for path in spanning if (table := _of_part(storage, path, key)) is not None), None)


def _of_part(storage: Storage, path: str, key: str) -> pa.Table | None:
    """The measurements of a trial in one part, of which no more is read; None where it is not there.

    Raises:
        FileNotFoundError: there is no such part any more.
        StorageFailure: it cannot be read now.
    """

    def table() -> pa.Table | None:
        with storage.opened(path) as file:
            reader = PartReader(file)
            return reader.table(key) if key in reader.num_rows else None

    try:
        return tried(table)
    except FileNotFoundError:
        raise
    except OSError:
        with storage.failures_told("read", path):
            raise
