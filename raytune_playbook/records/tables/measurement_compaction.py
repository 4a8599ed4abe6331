"""Compaction of measurements: of trials that have ended, into parts of a fixed size, most of which are never touched
again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from raytune_playbook.records.tables.compacted_folder import CompactedFolder
from raytune_playbook.records.tables.listing import (
    BrokenFileError,
    Listing,
    Part,
    key_order,
    parquet_table,
    single_file,
)
from raytune_playbook.records.tables.measurement_parts import PartReader, PartWriter, part_keys

PART_TRIALS = 128
"""A part of measurements has no more trials."""

PART_BYTES = 32 * 2**20
"""A part of measurements that is as large takes no further trial, for a part is made and read in memory."""


def compact_measurements(folder: CompactedFolder, ended: Iterable[str], *, is_end: bool) -> None:
    """Compact the measurements of trials that have ended.

    Args:
        folder: a study's ``measurements``.
        ended: keys of trials; those that have no file of their own there are left out.
        is_end: of the run: the last part, which may not be full yet, is filled up, and what a crash left is cleared up.
    """
    listing = folder.listing()
    new = sorted(
        (key for key in ended if listing.singles.get(key, PART_BYTES) < PART_BYTES and key not in listing.streams),
        key=key_order,
    )
    old = _parts_to_rewrite(folder, listing, new, is_end=is_end)
    writing = _Writing(folder, listing.next_number, set(new))
    written = set(listing.streams)  # a trial counts in its stream, then in its single, then in the newest part
    for key in new:
        try:
            writing.add(key, parquet_table(folder.content(single_file(key))))
            written.add(key)
        except BrokenFileError:  # it stays where it is, and whoever reads the round is told
            writing.keep(key)
    for part in reversed(old):
        for key, table in PartReader(pa.BufferReader(folder.content(part.file))).tables():
            if key not in written:
                written.add(key)
                writing.add(key, table)
    kept = writing.end()
    if gone := [*(part.file for part in old), *(single_file(key) for key in new if key not in kept)]:
        folder.delete(gone)


def _parts_to_rewrite(folder: CompactedFolder, listing: Listing, new: Sequence[str], *, is_end: bool) -> list[Part]:
    """Parts that hold a trial which counts elsewhere, and at the end of a run the last ones that are not full."""
    found = []
    known = {*new, *listing.streams}
    # Every part that is newer than one to rewrite is looked into: what is written anew counts before what is not.
    oldest = 0 if is_end else next((i for i, part in enumerate(listing.parts) if any(map(part.spans, new))), None)
    is_tail = is_end and bool(new)
    for part in reversed(() if oldest is None else listing.parts[oldest:]):
        keys = part_keys(folder.storage, f"{folder.path}/{part.file}")
        is_tail = is_tail and len(keys) < PART_TRIALS and part.num_bytes < PART_BYTES
        if keys and (is_tail or not known.isdisjoint(keys)):
            found.append(part)
        known.update(keys)
    return found[::-1]


class _Writing:
    """Sorts trials into parts by their columns, and writes each part when it is full."""

    def __init__(self, folder: CompactedFolder, number: int, singles: set[str]) -> None:
        self._folder, self._number, self._singles = folder, number, singles
        self._open: dict[pa.Schema, PartWriter] = {}
        self._kept: set[str] = set()

    def add(self, key: str, table: pa.Table) -> None:
        writer = self._open.get(table.schema)
        if writer is None:
            writer = self._open[table.schema] = PartWriter(table.schema)
        writer.add(key, table)
        if len(writer.keys) >= PART_TRIALS or writer.num_bytes >= PART_BYTES:
            self._write(self._open.pop(table.schema))

    def keep(self, key: str) -> None:
        """Leave a trial's single as it is."""
        self._kept.add(key)

    def end(self) -> set[str]:
        """Write what is left; returns the trials whose singles stay."""
        while self._open:
            self._write(self._open.popitem()[1])
        return self._kept

    def _write(self, writer: PartWriter) -> None:
        if len(writer.keys) == 1 and writer.keys[0] in self._singles:
            self._kept.add(writer.keys[0])  # a part of one would be no gain
            return
        self._folder.write_part(self._number, writer.keys, writer.content())
        self._number += 1
