"""The measurements of a running trial: an Arrow IPC stream, sealed to Parquet when the trial has ended.

A stream that was cut off is readable up to its last whole batch; a Parquet file is not. So the stream is what a crash
leaves behind, and the Parquet file is what analysis reads.

Each attempt has a stream of its own, and the newest counts: an attempt that goes on from a checkpoint first reports
again, out of it, all that was measured up to there. So the rows of the cut-off attempt are kept up to the checkpoint,
even those whose messages were lost with its driver, and replaced after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.records.columns import STEP_COLUMNS, MeasurementRow, measurements_table
from raytune_playbook.records.store import RoundStore, running_prefix


class RunningMeasurements:
    """Appends one attempt's measurements; the schema is fixed by the first batch of rows."""

    def __init__(self, store: RoundStore, study: str, key: str, attempt: int) -> None:
        self._storage = store.storage
        self._folder = f"{store.name}/{study}/measurements"
        self._key = key
        self._path = f"{self._folder}/{running_prefix(key)}{attempt}.arrows"
        self._sink: pa.NativeFile | None = None
        self._writer: pa.RecordBatchWriter | None = None
        self._tables: list[pa.Table] = []

    def append(self, rows: Sequence[MeasurementRow]) -> None:
        """Write a batch of rows through to the storage."""
        if not rows:
            return
        table = measurements_table(rows)
        if self._writer is None:
            table = _with_columns(table, STEP_COLUMNS)
            self._storage.fs.create_dir(f"{self._storage.root}/{self._folder}", recursive=True)
            self._sink = self._storage.fs.open_output_stream(f"{self._storage.root}/{self._path}")
            self._writer = pa.ipc.new_stream(self._sink, table.schema)
        else:
            table = _conform(table, self._tables[0].schema)
        self._writer.write_table(table)
        if self._sink is not None:
            self._sink.flush()
        self._tables.append(table)

    def table(self) -> pa.Table:
        """Everything appended so far."""
        return pa.concat_tables(self._tables) if self._tables else measurements_table([])

    def seal(self) -> None:
        """Write the Parquet file that analysis reads, then delete the stream."""
        self.close()
        sink = pa.BufferOutputStream()
        pq.write_table(self.table(), sink)
        self._storage.write(f"{self._folder}/{self._key}.parquet", sink.getvalue().to_pybytes())
        for file in self._storage.files(self._folder):
            if file.startswith(running_prefix(self._key)):
                self._storage.delete(f"{self._folder}/{file}")

    def close(self) -> None:
        """End the stream where it is."""
        if self._writer is not None and self._sink is not None:
            self._writer.close()
            self._sink.close()
        self._writer = self._sink = None


def _with_columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The same rows with columns of nulls for the names that are missing, for rows that are yet to come."""
    for name in names:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.float64()))
    return table


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same rows with the stream's columns: a metric that is missing now is null."""
    columns = [
        table.column(name) if name in table.column_names else pa.nulls(table.num_rows, schema.field(name).type)
        for name in schema.names
    ]
    return pa.table(columns, schema=schema)
