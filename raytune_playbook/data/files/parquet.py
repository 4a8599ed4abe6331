"""Parquet: a fragment is a row group, and only the bytes of the wanted columns are read."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.parquet as pq

from raytune_playbook.data.columns import Columns, from_arrow
from raytune_playbook.data.files.find import File
from raytune_playbook.data.files.fragments import Fragment
from raytune_playbook.data.files.listing import Header, require_columns, with_headers


@dataclass(frozen=True)
class RowGroup(Fragment):
    """A row group of a file."""

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"row group {self.number} of {self.file.uri}"

    def _read(self) -> Columns:
        with self.file.open() as opened:
            # Where the writer left checksums, overwritten bytes are found even if they decode to other numbers.
            parquet = pq.ParquetFile(opened, page_checksum_verification=True)
            table = parquet.read_row_group(self.number or 0, columns=None if self.columns is None else [*self.columns])
        return from_arrow(table, self.name)


def _read_header(file: File, columns: tuple[str, ...] | None) -> Header:
    with file.open() as opened:
        footer = pq.ParquetFile(opened)
        schema, metadata = footer.schema_arrow, footer.metadata
    types = {name: str(schema.field(name).type) for name in schema.names}
    require_columns(columns, types, file.uri)
    wanted = columns if columns is not None else tuple(types)
    fragments = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        # The sizes of single columns are there too, but asking a damaged file for them ends the whole process.
        size = group.total_byte_size * len(wanted) // max(1, len(types))
        fragments.append(RowGroup((file,), columns, number, group.num_rows, size))
    return Header({name: types[name] for name in wanted}, tuple(fragments))


PARQUET = with_headers("parquet", (".parquet", ".pq"), _read_header)
