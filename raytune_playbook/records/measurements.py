"""The measurements of a running trial: an Arrow IPC stream, sealed to Parquet when the trial has ended.

A stream that was cut off is readable up to its last whole batch; a Parquet file is not. So the stream is what a crash
leaves behind, and the Parquet file is what analysis reads. A stream has one schema, so that a metric which earlier
evaluations lacked begins it anew: all rows so far are written again beside it, with nulls for that metric, and take its
place as a whole.

An object store shows an object when it is whole, so there all rows so far are put anew as they grow.

Each attempt has a stream of its own, and the newest counts: an attempt that goes on from a checkpoint first reports
again, out of it, all that was measured up to there. So the rows of the cut-off attempt are kept up to the checkpoint,
even those whose messages were lost with its driver, and replaced after it.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.records.columns import STEP_COLUMNS, MeasurementRow, measurements_table
from raytune_playbook.records.retries import passes, tried
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables.listing import running_prefix, single_file

PUT_SHARE = 0.1
"""Of the time so much goes into putting objects at most: where that takes long, they are put less often."""


BUFFER_BYTES = 2**16
"""Of a local stream, so that a batch of rows, which Arrow writes in a dozen pieces, is one write."""


class RunningMeasurements:
    """Appends one attempt's measurements."""

    def __init__(self, store: RoundStore, study: str, key: str, attempt: int) -> None:
        self._storage = store.storage
        self._folder = f"{store.name}/{study}/measurements"
        self._key = key
        self._name = f"{running_prefix(key)}{attempt}.arrows"
        self._sink: pa.NativeFile | None = None
        self._writer: pa.RecordBatchWriter | None = None
        self._tables: list[pa.Table] = []
        self._schema = measurements_table([]).schema
        self._is_local = self._storage.local_path is not None
        self._num_put, self._put_again_at_s = 0, 0.0

    def append(self, rows: Sequence[MeasurementRow]) -> None:
        """Write a batch of rows through to the storage."""
        if not rows:
            return
        table = measurements_table(rows)
        is_first = self._writer is None
        names = [*table.column_names, *(STEP_COLUMNS if is_first else ())]
        late = [name for name in dict.fromkeys(names) if name not in self._schema.names]
        for name in late:
            self._schema = self._schema.append(pa.field(name, pa.float64()))
        self._tables.append(table)
        if not self._is_local:
            if time.monotonic() >= self._put_again_at_s:
                self._put()
        elif late or not self._is_written(table):
            tried(self._begin)

    def table(self) -> pa.Table:
        """Everything appended so far."""
        return pa.concat_tables([self._schema.empty_table(), *(_conform(each, self._schema) for each in self._tables)])

    def _is_written(self, table: pa.Table) -> bool:
        """Write new rows to the stream that there is; False where there is none, or it broke in a way that passes."""
        if self._writer is None or self._sink is None:
            return False
        try:
            self._writer.write_table(_conform(table, self._schema))
            self._sink.flush()
        except OSError as error:
            if not passes(error):
                raise
            return False
        return True

    def _begin(self) -> None:
        """Write all rows so far into a stream with the columns of now, which takes the place of one with fewer."""
        with contextlib.suppress(OSError):  # one that broke cannot be closed either, and all of its rows come again
            self._end_stream()
        folder = self._storage.place(self._folder)
        self._storage.fs.create_dir(folder, recursive=True)
        beside = f"{folder}/.{self._name}.{uuid.uuid4().hex}.tmp"
        try:
            self._sink = self._storage.fs.open_output_stream(beside, buffer_size=BUFFER_BYTES)
            self._writer = pa.ipc.new_stream(self._sink, self._schema)
            for table in self._tables:
                self._writer.write_table(_conform(table, self._schema))
            self._sink.flush()
            Path(beside).replace(f"{folder}/{self._name}")
        except OSError:
            with contextlib.suppress(OSError):
                Path(beside).unlink(missing_ok=True)
            raise

    def _put(self) -> None:
        """Put all rows so far as one object, which takes the place of the one before."""
        began_s, sink = time.monotonic(), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            writer.write_table(self.table())
        self._storage.write(f"{self._folder}/{self._name}", sink.getvalue().to_pybytes())
        ended_s = time.monotonic()
        self._num_put, self._put_again_at_s = len(self._tables), ended_s + (ended_s - began_s) * (1 / PUT_SHARE - 1)

    def seal(self) -> None:
        """Write the Parquet file that analysis reads, then delete the stream."""
        with contextlib.suppress(OSError):  # what the stream holds comes again
            self._end_stream()
        sink = pa.BufferOutputStream()
        pq.write_table(self.table(), sink)
        self._storage.write(f"{self._folder}/{single_file(self._key)}", sink.getvalue().to_pybytes())
        for file in self._storage.files(self._folder):
            if file.removeprefix(".").startswith(running_prefix(self._key)):  # with the dot it was never finished
                self._storage.delete(f"{self._folder}/{file}")

    def close(self) -> None:
        """End the stream where it is."""
        try:
            self._end_stream()
        except OSError as error:  # all rows were written through before, and are read without the mark of its end
            if not passes(error):
                raise
        if not self._is_local and self._num_put < len(self._tables):
            self._put()

    def _end_stream(self) -> None:
        writer, sink, self._writer, self._sink = self._writer, self._sink, None, None
        if writer is not None and sink is not None:
            try:
                writer.close()
            finally:
                sink.close()


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The same rows with the columns of a schema: a metric that they lack is null."""
    columns = [
        table.column(name) if name in table.column_names else pa.nulls(table.num_rows, schema.field(name).type)
        for name in schema.names
    ]
    return pa.table(columns, schema=schema)
