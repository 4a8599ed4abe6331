"""Rows of trials tables, from many files into one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from raytune_playbook.records.columns import trials_table, why_no_trials
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.tables.listing import (
    BrokenFileError,
    FolderContent,
    key_order,
    parquet_table,
    read_folder,
)
from raytune_playbook.study.trial import trial_key


def read_rows(storage: Storage, folder: str) -> FolderContent[pa.Table]:
    """The rows in every file of a study's folder of trials."""
    study = folder.split("/")[-2]

    def parse(file: str, content: bytes) -> pa.Table:
        table = parse_rows(file, content)
        if others := set(table["study"].to_pylist()) - {study}:
            raise BrokenFileError(f"{file} holds trials of another study: {others.pop()!r}")
        return table

    return read_folder(storage, folder, parse)


def parse_rows(file: str, content: bytes) -> pa.Table:
    """The rows in one file.

    Raises:
        BrokenFileError: it holds no rows of trials.
    """
    table = parquet_table(content)
    if (why := why_no_trials(table)) is not None:
        raise BrokenFileError(f"{file} holds no trials: {why}")
    return table


def keys_of(table: pa.Table) -> list[str]:
    """Each row's trial."""
    return list(map(trial_key, table["index"].to_pylist(), table["repeat"].to_pylist()))


def newest(tables: Sequence[pa.Table]) -> pa.Table:
    """One row of every trial, sorted by study and index.

    Args:
        tables: of one study; a later one's row counts before an earlier one's.
    """
    if not tables:
        return trials_table([])
    table = concatenated(tables)
    places = {key: place for place, key in enumerate(keys_of(table))}
    rows = [places[key] for key in sorted(places, key=key_order)]
    return table if rows == list(range(table.num_rows)) else table.take(rows)


def concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all rows; a column that holds text in one table and numbers in another becomes text.

    A struct that has more fields in one table than in another, as in records of an older version, gets nulls there.
    """
    types: dict[str, set[pa.DataType]] = {}
    for schema in {table.schema for table in tables}:
        for field in schema:
            types.setdefault(field.name, set()).add(field.type)
    mixed = {
        name
        for name, given in types.items()
        if len(given - {pa.null()}) > 1
        and not all(map(_is_number, given - {pa.null()}))
        and not any(map(pa.types.is_nested, given))
    }
    return pa.concat_tables([as_text(table, mixed) for table in tables], promote_options="permissive")


def as_text(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """The same with Python's text in these columns, as in `trials_table`; Arrow's differs, as in "true" for True."""
    for name in names:
        place = table.schema.get_field_index(name)
        if place >= 0 and table.schema.field(place).type not in (pa.string(), pa.null()):
            text = [None if value is None else str(value) for value in table.column(place).to_pylist()]
            table = table.set_column(place, name, pa.array(text, pa.string()))
    return table


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))
