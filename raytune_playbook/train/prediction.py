"""What a model says of any examples, in their order (rule EV8): the pure part of ``raytune-playbook predict``."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor, nn

from raytune_playbook.errors import PlaybookError, SpecError
from raytune_playbook.study.evaluation_settings import ROW, WEIGHT
from raytune_playbook.train.evaluation import evaluation_mode
from raytune_playbook.train.model import TrialModel, require_examples
from raytune_playbook.train.workload import Batch, Columns

BATCH_SIZE = 256
"""Of every batch, the last one included, which is filled up."""

OUTPUT = "output"
"""What the model's output is called where a workload has no predictions of its own."""


def predict(
    model: TrialModel, batches: Iterable[Columns], *, label: npt.NDArray[np.generic] | None = None
) -> Iterator[pa.Table]:
    """What the workload predicts, one table per batch, so that no more than a batch of them is held.

    A workload without `predictions` of its own predicts what its model returns where its loss calls it.

    Args:
        model: in a group of its own.
        batches: of one size, with the columns `ROW` and `WEIGHT`, which is 0 for padding.
        label: what stands for the label of every example, of the label's shape, where there is none and the workload's
            loss must run; None for nothing.

    Yields:
        Tables with the column ``row`` and a column for each prediction, in the order of the examples.

    Raises:
        SpecError: there is nothing to predict, not one per example, or the workload's code raises.
    """
    for batch in batches:
        tensors = on_device(batch, model)
        # Entered anew for each batch: the consumer may use the model between two of them.
        with torch.no_grad(), evaluation_mode(model), own_code(model, batch):
            found = _predicted(model, tensors, label)
        real = np.asarray(batch[WEIGHT], np.float32) > 0
        arrays = {name: (v.float() if v.dtype == torch.bfloat16 else v).cpu().numpy() for name, v in found.items()}
        yield examples_table({"row": batch[ROW][real], **{name: array[real] for name, array in arrays.items()}})


def on_device(batch: Columns, model: TrialModel) -> dict[str, Tensor]:
    """A batch where the model computes."""
    return {name: torch.from_numpy(np.array(column)).to(model.group.device) for name, column in batch.items()}


def _predicted(model: TrialModel, batch: Batch, label: npt.NDArray[np.generic] | None) -> Mapping[str, Tensor]:
    if not model.workload.has_predictions():
        return {OUTPUT: _output(model, batch, label)}
    found = model.predictions(batch)
    if not found:
        raise SpecError(
            f"{type(model.workload).__name__}.predictions must say what is predicted, but it returns nothing; "
            "return what the model says of each example."
        )
    return found


def _output(model: TrialModel, batch: Batch, label: npt.NDArray[np.generic] | None) -> Tensor:
    """What the model returns where the loss calls it, whatever the labels are where the examples have none."""
    name = model.workload.label_column
    if name in batch or label is None:
        return _output_in_loss(model, batch)
    stand_in = torch.from_numpy(np.broadcast_to(label, (len(batch[ROW]), *label.shape)).copy()).to(batch[ROW].device)
    output = _output_in_loss(model, {**batch, name: stand_in})
    if not torch.equal(output, _output_in_loss(model, {**batch, name: stand_in + 1})):
        raise SpecError(
            f"{type(model.workload).__name__} needs predictions of its own, since its model is given the labels, but "
            f"these examples have no {name!r}; implement it, or give them."
        )
    return output


def _output_in_loss(model: TrialModel, batch: Batch) -> Tensor:
    outputs: list[object] = []

    def note(module: nn.Module, given: object, output: object) -> None:
        outputs.append(output)

    hook = model.module.register_forward_hook(note)
    try:
        model.loss(batch)
    finally:
        hook.remove()
    output = outputs[0] if outputs else None
    if len(outputs) != 1 or not isinstance(output, Tensor):
        what = f"returns {type(output).__name__}" if len(outputs) == 1 else f"is called {len(outputs)} times"
        raise SpecError(
            f"{type(model.workload).__name__} needs predictions of its own unless its loss calls the model once and "
            f"gets a tensor, but the model {what} there; implement it."
        )
    require_examples("The model's output in Workload.loss", output, len(batch[ROW]))
    return output


@contextlib.contextmanager
def own_code(model: TrialModel, examples: Columns) -> Iterator[None]:
    """Makes one sentence of what the workload's code raises on some examples.

    Raises:
        SpecError: it raises.
    """
    try:
        yield
    except PlaybookError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        types = {n: f"{v.dtype}{list(v.shape[1:])}" for n, v in examples.items() if n not in (ROW, WEIGHT)}
        raise SpecError(
            f"{type(model.workload).__name__} must take the examples {types}, but raises {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]} ({where.filename}, line {where.lineno}); give examples like those "
            "that the model was trained on."
        ) from error


def examples_table(columns: Columns) -> pa.Table:
    """Columns of shape (num_examples, ...) as an Arrow table; further dimensions become lists of fixed size."""
    return pa.table({name: _arrow(column) for name, column in columns.items()})


def _arrow(column: npt.NDArray[np.generic]) -> pa.Array:
    array = pa.array(column.reshape(-1))
    for size in reversed(column.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array
