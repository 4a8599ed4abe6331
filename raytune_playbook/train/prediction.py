"""What a model says of any examples, in their order (rule EV8): the pure part of ``raytune-playbook predict``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from raytune_playbook.errors import SpecError
from raytune_playbook.train.evaluation import evaluation_mode
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.workload import Columns

BATCH_SIZE = 256


def predict(
    model: TrialModel, examples: Columns, *, batch_size: int = BATCH_SIZE, first_row: int = 0
) -> Iterator[pa.Table]:
    """The workload's predictions, one table per batch, so that no more than a batch of them is held.

    Args:
        model: in a group of its own.
        examples: any number of them, by column; labels are not needed.
        batch_size: how many are computed at once.
        first_row: the number of the first of them, where they are a part of more.

    Yields:
        Tables with the column ``row`` and a column for each prediction, in the order of the examples; none for none.

    Raises:
        SpecError: the workload has no predictions, or not one per example.
    """
    if batch_size < 1:
        raise SpecError(f"batch_size must be at least 1, but got {batch_size}; give a number of examples.")
    num, device = len(next(iter(examples.values()), ())), model.group.device
    for start in range(0, num, batch_size):
        rows = slice(start, min(start + batch_size, num))
        batch = {name: torch.from_numpy(np.array(column[rows])).to(device) for name, column in examples.items()}
        # Entered anew for each batch: the consumer may use the model between two of them.
        with torch.no_grad(), evaluation_mode(model):
            found = model.predictions(batch)
        if not found:
            raise SpecError(
                f"{type(model.workload).__name__}.predictions must say what is predicted, but it returns nothing; "
                "implement it."
            )
        arrays = {name: (v.float() if v.dtype == torch.bfloat16 else v).cpu().numpy() for name, v in found.items()}
        yield examples_table({"row": np.arange(first_row + rows.start, first_row + rows.stop), **arrays})


def examples_table(columns: Columns) -> pa.Table:
    """Columns of shape (num_examples, ...) as an Arrow table; further dimensions become lists of fixed size."""
    return pa.table({name: _arrow(column) for name, column in columns.items()})


def _arrow(column: npt.NDArray[np.generic]) -> pa.Array:
    array = pa.array(column.reshape(-1))
    for size in reversed(column.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array
