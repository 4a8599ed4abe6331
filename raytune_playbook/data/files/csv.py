"""CSV, also compressed: a fragment is a file; it is read as a whole, whichever columns are wanted."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.csv as pacsv

from raytune_playbook.data.columns import Columns, from_arrow
from raytune_playbook.data.files.find import File
from raytune_playbook.data.files.fragments import Fragment
from raytune_playbook.data.files.listing import Header, require_columns, with_headers


@dataclass(frozen=True)
class CsvFile(Fragment):
    """A file; how many examples it holds only reading tells."""

    def _read(self) -> Columns:
        options = pacsv.ConvertOptions(include_columns=[*self.columns] if self.columns else [])
        with self.file.open_decompressed() as opened:
            return from_arrow(pacsv.read_csv(opened, convert_options=options), self.name)


def _read_header(file: File, columns: tuple[str, ...] | None) -> Header:
    with file.open_decompressed() as opened:
        names = pacsv.open_csv(opened).schema.names
    require_columns(columns, names, file.uri)
    # Names only: a file's types follow from its first block, where one number may look like another.
    return Header(dict.fromkeys(columns or names, "there"), (CsvFile((file,), columns, num_bytes=file.num_bytes),))


CSV = with_headers("csv", (".csv", ".csv.gz", ".csv.zst"), _read_header)
