"""``raytune-playbook predict``: what a kept model says of the examples in Parquet files (rule EV8).

Needs no cluster: the model is loaded and run in this process, and the examples are read batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from raytune_playbook.engine.trained.load import load_model, recorded, workload_of_job
from raytune_playbook.errors import SpecError, StorageError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.store import RoundStore, Storage
from raytune_playbook.train.group import Group
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.prediction import BATCH_SIZE, predict
from raytune_playbook.train.workload import Values, Workload


def predict_file(
    round: str,
    trial: str,
    *,
    data: str,
    output: str,
    storage: str = DEFAULT_STORAGE,
    step: int | None = None,
    workload: Workload | None = None,
) -> int:
    """Write a kept model's predictions on every example of ``data``, in its order, as one Parquet file.

    Args:
        round, trial, storage, step, workload: as for `load_model`.
        data: path or URI of Parquet files with the columns of the workload's examples. Numbers and lists of one length
            are columns of examples; other columns, such as names, are left out.
        output: path or URI of the file, written when all is predicted.

    Returns:
        The number of examples.

    Raises:
        InputError: there is no such round, trial, checkpoint or data, or the workload has no predictions.
    """
    store = RoundStore(Storage(storage), round)
    workload = workload or workload_of_job(store)
    module = load_model(store, trial, step=step, workload=workload)
    spec, _ = recorded(store, trial)
    model = TrialModel(workload, module, Values(spec.values), Group())
    num_examples, sink, writer = 0, pa.BufferOutputStream(), None
    for read in read_examples(data):
        columns = dict(workload.preprocess(read)) if workload.preprocesses() else read
        for table in predict(model, columns, first_row=num_examples):
            writer = writer or pq.ParquetWriter(sink, table.schema)
            writer.write_table(table)
            num_examples += table.num_rows
    if writer is None:
        raise SpecError(f"--data must hold examples, but {data!r} holds none; name other files.")
    writer.close()
    folder, _, name = output.rpartition("/")
    Storage(folder or ("/" if output.startswith("/") else ".")).write(name, sink.getvalue().to_pybytes())
    return num_examples


def read_examples(uri: str) -> Iterator[dict[str, npt.NDArray[np.generic]]]:
    """Parquet files in their order as arrays of shape (batch, ...), a batch at a time.

    Raises:
        StorageError: they cannot be read.
        SpecError: no column holds numbers, or lists in a column differ in length.
    """
    source = Storage(uri)
    try:
        batches = pads.dataset(source.root, filesystem=source.fs, format="parquet").to_batches(batch_size=BATCH_SIZE)
        for batch in batches:
            if batch.num_rows:
                columns = {name: _array(name, batch.column(name)) for name in batch.schema.names}
                numbers = {name: column for name, column in columns.items() if column is not None}
                if not numbers:
                    raise SpecError(f"--data must hold columns of numbers, but {uri!r} has none; encode the examples.")
                yield numbers
    except (pa.ArrowInvalid, OSError) as error:
        raise StorageError(
            f"--data must be readable Parquet, but {uri!r} is not ({str(error).partition(chr(10))[0]}); correct it."
        ) from None


def _array(name: str, column: pa.Array) -> npt.NDArray[np.generic] | None:
    """A column of numbers, or of (nested) lists of them, as an array; None for any other."""
    shape = [len(column)]
    while (
        pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type)
    ):
        values = column.flatten()
        length, rest = divmod(len(values), max(1, len(column)))
        if rest or (
            not pa.types.is_fixed_size_list(column.type) and set(column.value_lengths().to_pylist()) != {length}
        ):
            raise SpecError(f"--data: the lists of column {name!r} must have one length; pad or cut them.")
        shape.append(length)
        column = values
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    if column.null_count:
        raise SpecError(
            f"--data: column {name!r} must have a value for every example; fill it or leave the column out."
        )
    array: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False).reshape(shape)
    return array
