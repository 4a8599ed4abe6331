"""Predictions on chosen examples, saved at every evaluation (rule EV4).

"Save sufficient information per evaluation to support offline analysis. Ideally, we would save predictions on a
selection of individual examples since they can be invaluable for debugging" (the playbook, "Setting up periodic
evaluations"). One small Parquet file per evaluation, ``<study>/predictions/<trial>/<step>.parquet``, written whole or
not at all. A trial's worker writes it, as it does checkpoints; one that was resumed writes the same file again.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.records.storage import Storage


def predictions_folder(study: str, key: str) -> str:
    """Where a trial's predictions are in its round's folder."""
    return f"{study}/predictions/{key}"


def write_predictions(storage: Storage, folder: str, step: int, examples: pa.Table) -> None:
    """Save what a model made of the chosen examples after ``step``; one worker does it (rule MH1).

    Args:
        storage: the round's folder.
        folder: of the trial in it.
        examples: a row per example, in the column ``row`` its number in the validation set.
    """
    table = examples.add_column(0, "step", pa.array([step] * examples.num_rows, pa.int64()))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    storage.write(f"{folder}/{step:08d}.parquet", sink.getvalue().to_pybytes())


def read_predictions(storage: Storage, folder: str) -> pa.Table | None:
    """All that were saved of a trial, by step and row; None where none were."""
    files = [name for name in storage.files(folder) if name.endswith(".parquet")]
    contents = [storage.read(f"{folder}/{name}") for name in files]
    tables = [pq.read_table(pa.BufferReader(content)) for content in contents if content is not None]
    return pa.concat_tables(tables).sort_by([("step", "ascending"), ("row", "ascending")]) if tables else None
