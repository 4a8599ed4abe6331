"""Reads a workload's examples once per session and shares them with all gangs through the object store.

Arrays are put into the store as they are; Parquet files are read by Ray Data, in parallel and in file order. Workers
map the arrays read-only, one copy per node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray

from raytune_playbook.errors import SpecError

Columns: TypeAlias = dict[str, npt.NDArray[np.generic]]
Shared: TypeAlias = dict[str, "ray.ObjectRef[Columns]"]
"""Per split, a reference to its columns."""

TRAINING_SPLITS = ("train", "validation")
"""What a trial may see; the test set is not among them (rule AD6)."""


def share(datasets: Mapping[str, object]) -> Shared:
    """Put the training and validation examples into the object store; the caller owns them.

    Args:
        datasets: per split, columns of arrays with the shape (num_examples, ...), an Arrow table, or a Parquet URI.

    Raises:
        SpecError: a split is missing, empty or ragged, or is of a kind that cannot be read.
    """
    missing = [split for split in TRAINING_SPLITS if split not in datasets]
    if missing:
        raise SpecError(
            f"Workload.datasets: 'train' and 'validation' are needed, but {missing[0]!r} is missing among "
            f"{sorted(datasets)}; return both."
        )
    return {split: ray.put(read(split, datasets[split])) for split in TRAINING_SPLITS}


def read(split: str, source: object) -> Columns:
    """All examples of one split as arrays, checked."""
    match source:
        case str():
            columns = _read_parquet(split, source)
        case pa.Table():
            columns = {name: source.column(name).to_numpy() for name in source.column_names}
        case Mapping():
            columns = {str(name): np.ascontiguousarray(values) for name, values in source.items()}
        case _:
            raise SpecError(
                f"Workload.datasets: {split!r} must be a mapping of arrays, an Arrow table or a Parquet URI, "
                f"but is {type(source).__name__}; return one of these."
            )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
        raise SpecError(
            f"Workload.datasets: the columns of {split!r} must have one length above zero, but got {lengths}; "
            "give every example a value in every column."
        )
    for name, values in columns.items():
        if values.dtype.kind not in "biuf":
            raise SpecError(
                f"Workload.datasets: column {name!r} of {split!r} must hold numbers, but is of dtype {values.dtype}; "
                "encode it as numbers or drop it."
            )
    return columns


def _read_parquet(split: str, uri: str) -> Columns:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    try:
        batches = list(ray.data.read_parquet(uri).iter_batches(batch_size=None, batch_format="numpy"))
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        raise SpecError(
            f"Workload.datasets: {split!r} must be readable Parquet, but {uri!r} is not "
            f"({str(error).partition(chr(10))[0]}); correct the URI."
        ) from None
    if not batches:
        return {"": np.zeros(0)}
    return {name: np.concatenate([np.asarray(batch[name]) for batch in batches]) for name in batches[0]}
