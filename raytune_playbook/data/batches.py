"""A worker's batches, gathered from shared read-only arrays in a thread while the last step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from raytune_playbook.data.stream import Rows, batch_rows, evaluation_rows, permutation
from raytune_playbook.errors import SpecError
from raytune_playbook.study.evaluation_settings import CHOSEN, FULL_VALIDATION, ROW, evaluation_settings
from raytune_playbook.study.seeds import sample_seed
from raytune_playbook.study.spec import TrialSpec

Arrays = Mapping[str, npt.NDArray[np.generic]]
"""Columns by name, each of shape (num_examples, ...)."""

NUM_PREFETCHED = 2
MAX_TRAINING_SAMPLE = 1000
"""How many training examples every evaluation scores beside the validation set (rule EV7)."""

NUM_CHOSEN = 16
"""How many validation examples have their predictions saved where a workload chooses none (rule EV4)."""


class SharedBatches:
    """Implements `raytune_playbook.train.loop.Data` over arrays that all gangs of a node share.

    Args:
        arrays: columns of the splits ``train`` and ``validation``.
        weight_column: the name under which an evaluation batch holds its weights.
        chosen: rows of the validation examples whose predictions are saved; None for a seeded choice.

    Raises:
        SpecError: the trial's evaluation settings break a rule, or a chosen row does not exist.
    """

    def __init__(
        self,
        arrays: Mapping[str, Arrays],
        *,
        trial: TrialSpec,
        batch_size: int,
        rank: int,
        num_workers: int,
        device: torch.device,
        weight_column: str,
        chosen: Sequence[int] | None = None,
    ) -> None:
        self._arrays, self._batch_size = arrays, batch_size
        self._rank, self._num_workers, self._device = rank, num_workers, device
        self._weight_column = weight_column
        self._settings = evaluation_settings(trial.values, batch_size)
        self._rows = _evaluated_rows(arrays, sample_seed(trial.seed), self._settings.sample, chosen)

    def training_batches(self, trial: TrialSpec, *, first_batch: int = 0) -> Iterator[Mapping[str, torch.Tensor]]:
        """This worker's slices of the global batches from ``first_batch`` on, prefetched to the device."""
        train = self._arrays["train"]
        num, workers = num_examples(train), self._num_workers
        rows = batch_rows(trial, num, self._batch_size, self._rank, workers, first_batch=first_batch)
        return _prefetched(self._gather(train, batch) for batch in rows)

    def evaluation_batches(self, split: str) -> Iterable[Mapping[str, torch.Tensor]]:
        """This worker's padded batches of a split; the column `ROW` holds each example's number.

        Args:
            split: ``train`` (a fixed sample of the training examples), ``validation`` (all of them, or a fixed sample),
                ``validation_full`` (all of them) or ``chosen`` (a few of them).
        """
        arrays, evaluated = self._arrays["train" if split == "train" else "validation"], self._rows[split]
        # At least as large as the training batch (rule EV1); larger ones only save calls.
        suitable = max(self._batch_size, min(len(evaluated), 256 * self._num_workers))
        batch_size = self._settings.batch_size or suitable
        for positions, weights in evaluation_rows(len(evaluated), batch_size, self._rank, self._num_workers):
            rows = evaluated[positions]
            added = {self._weight_column: weights, ROW: rows}
            yield self._gather(arrays, rows) | {
                name: self._to_device(torch.from_numpy(column)) for name, column in added.items()
            }

    def _gather(self, arrays: Arrays, rows: Rows) -> dict[str, torch.Tensor]:
        return {name: self._to_device(torch.from_numpy(column[rows])) for name, column in arrays.items()}

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        # Only from pinned memory does a copy to a GPU go on while this thread gathers the next batch.
        pinned = tensor.pin_memory() if self._device.type == "cuda" else tensor
        return pinned.to(self._device, non_blocking=True)


def num_examples(arrays: Arrays) -> int:
    """The number of rows of a split."""
    return len(next(iter(arrays.values())))


def _evaluated_rows(
    arrays: Mapping[str, Arrays], seed: int, sample: int | None, chosen: Sequence[int] | None
) -> dict[str, Rows]:
    """The rows of each evaluated split, sorted; the same for all trials of a study, and a larger sample holds a
    smaller one."""
    num_train, num_validation = num_examples(arrays["train"]), num_examples(arrays["validation"])
    order = permutation(num_validation, seed)
    if chosen is not None and not (len(chosen) and all(0 <= row < num_validation for row in chosen)):
        raise SpecError(
            f"Workload.chosen_examples must be rows of the {num_validation} validation examples, but got "
            f"{list(chosen)}; choose among 0 to {num_validation - 1}."
        )
    return {
        "train": np.sort(permutation(num_train, seed)[:MAX_TRAINING_SAMPLE]),
        "validation": np.sort(order[:sample]),
        FULL_VALIDATION: np.arange(num_validation),
        CHOSEN: np.sort(order[:NUM_CHOSEN]) if chosen is None else np.unique(np.asarray(chosen, np.int64)),
    }


class _End:
    """What the thread puts last: an exception, or None at the end of the batches."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


def _prefetched(batches: Iterator[dict[str, torch.Tensor]]) -> Iterator[dict[str, torch.Tensor]]:
    """The same batches, made ahead of time in a thread that ends with the consumer."""
    ready: queue.SimpleQueue[dict[str, torch.Tensor] | _End] = queue.SimpleQueue()
    room = threading.Semaphore(NUM_PREFETCHED)
    stopped = threading.Event()

    def produce() -> None:
        try:
            for batch in batches:
                room.acquire()
                if stopped.is_set():
                    return
                ready.put(batch)
            ready.put(_End(None))
        except Exception as error:  # noqa: BLE001 - handed over to the consumer, who raises it
            ready.put(_End(error))

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            room.release()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        room.release()  # wakes the thread where it waits for room, so that a trial's end waits for nothing
        thread.join()
