"""A worker's batches, gathered from shared read-only arrays in a thread while the last step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch

from raytune_playbook.data.stream import Rows, batch_rows, evaluation_rows, permutation
from raytune_playbook.study.seeds import sample_seed
from raytune_playbook.study.spec import TrialSpec

Arrays = Mapping[str, npt.NDArray[np.generic]]
"""Columns by name, each of shape (num_examples, ...)."""

NUM_PREFETCHED = 2
MAX_TRAINING_SAMPLE = 1000
"""How many training examples every evaluation scores beside the validation set (rule EV7)."""


class SharedBatches:
    """Implements `raytune_playbook.train.loop.Data` over arrays that all gangs of a node share.

    Args:
        arrays: columns of the splits ``train`` and ``validation``.
        weight_column: the name under which an evaluation batch holds its weights.
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
    ) -> None:
        self._arrays, self._batch_size = arrays, batch_size
        self._rank, self._num_workers, self._device = rank, num_workers, device
        self._weight_column = weight_column
        num_train = num_examples(arrays["train"])
        self._sample = np.sort(permutation(num_train, sample_seed(trial.seed))[:MAX_TRAINING_SAMPLE])

    def training_batches(self, trial: TrialSpec) -> Iterator[Mapping[str, torch.Tensor]]:
        """This worker's slices of the global batches, prefetched to the device."""
        train = self._arrays["train"]
        rows = batch_rows(trial, num_examples(train), self._batch_size, self._rank, self._num_workers)
        return _prefetched(self._gather(train, batch) for batch in rows)

    def evaluation_batches(self, split: str) -> Iterable[Mapping[str, torch.Tensor]]:
        """This worker's padded batches of a split; ``train`` is a fixed sample of the training examples."""
        arrays = self._arrays[split]
        total = len(self._sample) if split == "train" else num_examples(arrays)
        # At least as large as the training batch (rule EV1); larger ones only save calls.
        batch_size = max(self._batch_size, min(total, 256 * self._num_workers))
        for rows, weights in evaluation_rows(total, batch_size, self._rank, self._num_workers):
            chosen = self._sample[rows] if split == "train" else rows
            batch = self._gather(arrays, chosen)
            yield batch | {self._weight_column: torch.from_numpy(weights).to(self._device)}

    def _gather(self, arrays: Arrays, rows: Rows) -> dict[str, torch.Tensor]:
        return {
            name: torch.from_numpy(column[rows]).to(self._device, non_blocking=True) for name, column in arrays.items()
        }


def num_examples(arrays: Arrays) -> int:
    """The number of rows of a split."""
    return len(next(iter(arrays.values())))


class _End:
    """What the thread puts last: an exception, or None at the end of the batches."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


def _prefetched(batches: Iterator[dict[str, torch.Tensor]]) -> Iterator[dict[str, torch.Tensor]]:
    """The same batches, made ahead of time in a thread that ends with the consumer."""
    ready: queue.Queue[dict[str, torch.Tensor] | _End] = queue.Queue(maxsize=NUM_PREFETCHED)
    stopped = threading.Event()

    def put(item: dict[str, torch.Tensor] | _End) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def produce() -> None:
        try:
            for batch in batches:
                put(batch)
                if stopped.is_set():
                    return
            put(_End(None))
        except Exception as error:  # noqa: BLE001 - handed over to the consumer, who raises it
            put(_End(error))

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join()
