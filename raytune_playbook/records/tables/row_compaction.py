"""Compaction of the rows of trials: of those that have ended, into parts that grow with the round.

An old part is written anew together with all that is newer as long as it is no larger than that. So each time a row is
written anew its part has at least doubled, there are few parts, and at the end of a run all become one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.records.columns import VALUE_PREFIX, value_type
from raytune_playbook.records.tables.compacted_folder import CompactedFolder
from raytune_playbook.records.tables.listing import NUM_THREADS, BrokenFileError, Listing, Part, single_file
from raytune_playbook.records.tables.trial_rows import as_text, keys_of, newest, parse_rows
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical
from raytune_playbook.study.study import StudySpec


def text_columns(study: StudySpec) -> frozenset[str]:
    """The hyperparameters whose values are of several types, of which a table of all trials makes text.

    Compacted, they are text from the first part on: 1 and 2.5 would become 1.0 and 2.5 there, and with "auto" in the
    next part "1.0" and no more the "1" that it is without compaction.
    """
    values: dict[str, list[Value]] = {}
    for name, hyperparameter in study.space.items():
        if isinstance(hyperparameter, Categorical):
            values.setdefault(name, []).extend(hyperparameter.choices)
    for point in (*study.arms, *study.configurations):
        for name, value in point.items():
            values.setdefault(name, []).append(value)
    return frozenset(name for name, given in values.items() if value_type(given) == pa.string())


def compact_rows(folder: CompactedFolder, texts: Iterable[str], *, into_one: bool) -> None:
    """Compact the rows of trials that have ended.

    Args:
        folder: a study's ``trials``.
        texts: what `text_columns` says of it.
        into_one: into a single part; else together with those older ones that are no larger than all that is newer.
    """
    listing = folder.listing()
    singles = _rows(folder, listing)
    ended = {key: table for key, table in singles.items() if table["outcome"].null_count == 0}
    parts = _parts_to_join(folder, listing, singles, {key: listing.singles[key] for key in ended}, into_one=into_one)
    if len(parts) + len(ended) < 2 and not _hold(parts.values(), singles):
        return
    texts = [VALUE_PREFIX + name for name in texts]
    joined = newest([as_text(table, texts) for table in (*parts.values(), *ended.values())])
    # A trial that is tried again counts in its single, as long as it runs or where it was cut off.
    joined = joined.filter(pa.array([key in ended or key not in singles for key in keys_of(joined)]))
    if joined.num_rows:
        folder.write_part(listing.next_number, keys_of(joined), rows_part(joined))
    folder.delete([*(part.file for part in parts), *map(single_file, ended)])


def rows_part(table: pa.Table) -> bytes:
    """The file of a part of rows."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def _rows(folder: CompactedFolder, listing: Listing) -> dict[str, pa.Table]:
    """The singles that can be read."""

    def read(key: str) -> pa.Table | None:
        try:
            return parse_rows(single_file(key), folder.content(single_file(key)))
        except BrokenFileError:  # it stays where it is, and whoever reads the round is told
            return None

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        tables = list(threads.map(read, listing.singles))
    return {key: table for key, table in zip(listing.singles, tables, strict=True) if table is not None}


def _parts_to_join(
    folder: CompactedFolder, listing: Listing, singles: Collection[str], new: Mapping[str, int], *, into_one: bool
) -> dict[Part, pa.Table]:
    """The parts to write anew, the oldest first: those that are no larger than all that is newer, those that hold a
    trial which counts in its single, and all that are newer, for what is written anew counts before what is not.

    Args:
        folder: a study's ``trials``.
        listing: what it holds.
        singles: keys of all trials with a file of their own.
        new: numbers of bytes of those to compact.
        into_one: all parts.
    """
    found: dict[Part, pa.Table] = {}
    oldest, num_bytes, is_small = len(listing.parts), sum(new.values()), True
    for place in reversed(range(len(listing.parts))):
        part = listing.parts[place]
        is_small = is_small and part.num_bytes <= num_bytes
        num_bytes += part.num_bytes
        is_chosen = into_one or is_small
        if is_chosen or any(map(part.spans, singles)):
            with contextlib.suppress(BrokenFileError):  # as above
                found[part] = parse_rows(part.file, folder.content(part.file))
                oldest = place if is_chosen or _hold([found[part]], singles) else oldest
    for part in listing.parts[oldest:]:
        if part not in found:
            with contextlib.suppress(BrokenFileError):
                found[part] = parse_rows(part.file, folder.content(part.file))
    return {part: found[part] for part in listing.parts[oldest:] if part in found}


def _hold(tables: Iterable[pa.Table], keys: Collection[str]) -> bool:
    """Whether one of these trials is in one of these tables."""
    return any(key in keys for table in tables for key in keys_of(table))
