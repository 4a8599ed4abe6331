"""``raytune-playbook predict``: what a kept model says of any examples (rule EV8).

Needs no cluster: the model is loaded and run in this process, and the examples are read part by part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.data.columns import Columns
from raytune_playbook.data.datasets import find_source, name_of
from raytune_playbook.data.decode import Recipe
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.materialized.preprocessed import manifest_of
from raytune_playbook.data.reading import padded_batches, read_in_order
from raytune_playbook.engine.jobs.to_workers import pack
from raytune_playbook.engine.trained.load import KeptModel, load_kept
from raytune_playbook.errors import SpecError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.scores import TEST, ScoreRecord, now, write_score
from raytune_playbook.records.storage import Storage, file_at, has_columns, refuse_other_file
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import ColumnRecord
from raytune_playbook.train.prediction import BATCH_SIZE
from raytune_playbook.train.prediction import predict as predictions_of
from raytune_playbook.train.workload import Source, Workload


def predict(
    round: str | RoundStore,
    trial: str,
    data: Source,
    *,
    storage: str = DEFAULT_STORAGE,
    step: int | None = None,
    workload: Workload | None = None,
) -> pa.Table:
    """A kept model's predictions on every example of ``data``, in its order.

    They depend on nothing but the model and the example. Where the workload has no `predictions` of its own they are
    what its model returns where its loss calls it, in the column ``output``.

    Args:
        round, trial, storage, step, workload: as for `load_model`.
        data: whatever `Workload.datasets` may return for a split: arrays by column, an Arrow table, `Files`, a path or
            URI, or a Ray Dataset. They are preprocessed as in training, unless ``raytune-playbook preprocess`` saved
            them. Columns that the model was not trained on are left out; labels need not be there.

    Returns:
        The column ``row``, and one for each prediction.

    Raises:
        InputError: there is no such round, trial, checkpoint or data, or the model cannot be asked.
    """
    return pa.concat_tables(_tables(_store(round, storage), trial, data, step=step, workload=workload))


def predict_file(
    round: str | RoundStore,
    trial: str,
    *,
    data: Source,
    output: str,
    storage: str = DEFAULT_STORAGE,
    step: int | None = None,
    workload: Workload | None = None,
) -> int:
    """Write what `predict` returns as one Parquet file.

    Args:
        output: path or URI of the file, written when all is predicted; one of predictions is replaced, no other.

    Returns:
        The number of examples.

    Raises:
        InputError: as for `predict`.
    """
    refuse_other_predictions(output)
    return write_tables(output, _tables(_store(round, storage), trial, data, step=step, workload=workload))


def _store(round_: str | RoundStore, storage: str) -> RoundStore:
    return RoundStore(Storage(storage), round_) if isinstance(round_, str) else round_


def _tables(
    store: RoundStore, trial: str, data: Source, *, step: int | None, workload: Workload | None
) -> Iterator[pa.Table]:
    kept = load_kept(store, trial, step=step, workload=workload)
    trained = trained_columns(store)
    source = find_source(data, "data", "the data")
    saved = manifest_of(source) if isinstance(source, Listing) else None
    if saved is not None and saved.workload != kept.model.workload.spec().name:
        raise SpecError(
            f"Examples are preprocessed by the workload that predicts, but {name_of(data)} was by {saved.workload}; "
            "give them as they were before."
        )
    blocks = read_in_order("the data", source, recipe_of(kept, is_preprocessed=saved is not None), trained=trained)
    num_examples = 0
    for table in model_tables(kept, blocks, trained):
        num_examples += table.num_rows
        yield table
    if not num_examples:
        raise SpecError(f"Examples to predict on are needed, but {name_of(data)} holds none; name others.")
    if (
        saved is not None
        and isinstance(source, Listing)
        and PurePosixPath(source.fragments[0].file.path).parent.name == TEST
    ):
        write_score(store, look(kept, TEST, {}, num_examples, name_of(data)))


def trained_columns(store: RoundStore) -> dict[str, ColumnRecord]:
    """The columns that a round's models were trained on; none where its records don't tell."""
    examples = store.round().examples
    return {} if examples is None else examples.columns


def recipe_of(kept: KeptModel, *, is_preprocessed: bool) -> Recipe:
    """How examples are decoded for a kept model."""
    workload = kept.model.workload
    return Recipe(pack(workload) if workload.preprocesses() and not is_preprocessed else None)


def model_tables(kept: KeptModel, blocks: Iterable[Columns], trained: dict[str, ColumnRecord]) -> Iterator[pa.Table]:
    """What a kept model predicts on examples, a table per batch."""
    label = trained.get(kept.model.workload.label_column)
    stand_in: npt.NDArray[np.generic] | None = None if label is None else np.zeros(label.shape, label.dtype)
    return predictions_of(kept.model, padded_batches(blocks, BATCH_SIZE), label=stand_in)


def look(
    kept: KeptModel, split: str, metrics: dict[str, float | None], num_examples: int, source: str, data_split: int = 0
) -> ScoreRecord:
    """The record of a look at a split."""
    return ScoreRecord(
        study=kept.spec.study,
        trial=kept.spec.key,
        step=kept.step,
        split=split,
        metrics=metrics,
        num_examples=num_examples,
        source=source,
        data_split=data_split,
        scored_at=now(),
    )


def refuse_other_predictions(output: str) -> None:
    """Refuse to replace what is no file of predictions, before anything is predicted or scored."""
    refuse_other_file(output, has_columns("row"), "predictions")


def write_tables(output: str, tables: Iterable[pa.Table]) -> int:
    """Write tables as one Parquet file, once they are all there, and say how many rows they have."""
    num_rows, sink, writer = 0, pa.BufferOutputStream(), None
    for table in tables:
        writer = writer or pq.ParquetWriter(sink, table.schema)
        writer.write_table(table)
        num_rows += table.num_rows
    if writer is not None:
        writer.close()
    storage, name = file_at(output)
    storage.write(name, sink.getvalue().to_pybytes())
    return num_rows
