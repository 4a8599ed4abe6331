"""A worker's batches, made in a thread and copied to the device while the last step runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from raytune_playbook.data.columns import Columns, Rows, num_examples
from raytune_playbook.data.examples import MAX_TRAINING_SAMPLE
from raytune_playbook.data.order import BatchShare, batch_rows, evaluation_rows, first_of_permutation, permutation
from raytune_playbook.data.prefetch import Prefetched
from raytune_playbook.data.streaming.worker_stream import StreamedBatches
from raytune_playbook.errors import SpecError
from raytune_playbook.study.evaluation_settings import CHOSEN, FULL_VALIDATION, ROW, WEIGHT, evaluation_settings
from raytune_playbook.study.seeds import sample_seed
from raytune_playbook.study.trial import TrialSpec

NUM_PREFETCHED = 2
NUM_CHOSEN = 16
"""How many validation examples have their predictions saved where a workload chooses none (rule EV4)."""


@dataclass(frozen=True)
class TrialExamples:
    """The examples that a trial is trained and evaluated on.

    Fields:
        arrays: columns of the splits ``train`` and ``validation``; of a stream ``train`` is a sample.
        rows: which rows of the arrays make up each of the two splits; None for all.
        chosen: rows of the validation examples whose predictions are saved; None for a seeded choice.
    """

    arrays: Mapping[str, Columns]
    rows: Mapping[str, Rows] | None = None
    chosen: Sequence[int] | None = None

    def rows_of(self, split: str) -> Rows:
        """The numbers of a split's examples, ascending."""
        return self.rows[split] if self.rows is not None else np.arange(num_examples(self.arrays[split]))


class SharedBatches:
    """Implements `raytune_playbook.train.trial_run.Data` over arrays that all gangs of a node share.

    Args:
        share: this worker's of the training batches.
        stream: where training batches are streamed from; None to gather them from the arrays of ``train``.

    Raises:
        SpecError: the trial's evaluation settings break a rule, or a chosen row does not exist.
    """

    def __init__(
        self,
        examples: TrialExamples,
        trial: TrialSpec,
        share: BatchShare,
        device: torch.device,
        stream: StreamedBatches | None = None,
    ) -> None:
        self._arrays, self._share, self._stream = examples.arrays, share, stream
        self._settings = evaluation_settings(trial.values, share.batch_size)
        self._train_rows = None if examples.rows is None else examples.rows["train"]
        self._rows = _evaluated_rows(examples, sample_seed(trial.seed), self._settings.sample)
        self._seconds = {"collate": 0.0, "transfer": 0.0}
        self._transfer_wait_s = 0.0
        self._copies = _Copies(device)

    def training_batches(self, trial: TrialSpec, *, first_batch: int = 0) -> Iterator[Mapping[str, torch.Tensor]]:
        """This worker's slices of the global batches from ``first_batch`` on, prefetched to the device.

        Raises:
            SpecError: the workers cannot share a batch equally, or an epoch has less than one batch.
        """
        run = None if self._stream is None else self._stream.begin(first_batch=first_batch)
        batches = self._gathered(trial, first_batch) if run is None else run.batches()
        ready = Prefetched(self._copied(batches, "collate" if run is None else None), NUM_PREFETCHED)
        try:
            for copied in ready:
                waiting_since_s = time.perf_counter()
                batch = copied.arrived()
                self._transfer_wait_s += time.perf_counter() - waiting_since_s
                yield batch
        finally:
            if run is not None:
                run.leave()  # first, lest the end wait for a window
            ready.close()

    def _copied(self, batches: Iterator[Columns], stage: str | None) -> Iterator[_Copied]:
        """Batches on their way to the device; ``stage`` is what making one is called, where it is not timed already."""
        while True:
            started_s = time.perf_counter()
            batch = next(batches)
            collated_s = time.perf_counter()
            copied = self._copies.start(batch)
            if stage is not None:
                self._seconds[stage] += collated_s - started_s
            self._seconds["transfer"] += time.perf_counter() - collated_s
            yield copied

    def _gathered(self, trial: TrialSpec, first_batch: int) -> Iterator[Columns]:
        train, chosen = self._arrays["train"], self._train_rows
        number = num_examples(train) if chosen is None else len(chosen)
        for rows in batch_rows(trial, number, self._share, first_batch=first_batch):
            at = rows if chosen is None else chosen[rows]
            yield {name: column[at] for name, column in train.items()}

    def evaluation_batches(self, split: str) -> Iterable[Mapping[str, torch.Tensor]]:
        """This worker's padded batches of a split; the column `ROW` holds each example's number, `WEIGHT` its weight.

        Args:
            split: ``train`` (a fixed sample of the training examples), ``validation`` (all of them, or a fixed sample),
                ``validation_full`` (all of them) or ``chosen`` (a few of them).
        """
        arrays, evaluated = self._arrays["train" if split == "train" else "validation"], self._rows[split]
        # At least as large as the training batch (rule EV1); larger ones only save calls.
        suitable = max(self._share.batch_size, min(len(evaluated), 256 * self._share.num_workers))
        share = replace(self._share, batch_size=self._settings.batch_size or suitable)
        for positions, weights in evaluation_rows(len(evaluated), share):
            rows = evaluated[positions]
            batch = {name: column[rows] for name, column in arrays.items()}
            yield self._copies.start(batch | {WEIGHT: weights, ROW: rows}).arrived()

    def transfer_wait_s(self) -> float:
        """Seconds so far that training has waited for copies to the device."""
        return self._transfer_wait_s

    def stage_seconds(self) -> Mapping[str, float]:
        """Busy seconds so far of making training batches, by stage; of tasks at the pace of all the pipeline's CPUs."""
        return self._seconds | dict(self._stream.stage_seconds() if self._stream else {})


@dataclass(frozen=True)
class _Copied:
    """A batch on its way to the device."""

    batch: dict[str, torch.Tensor]
    event: torch.cuda.Event | None = None

    def arrived(self) -> dict[str, torch.Tensor]:
        """The batch, once it is there."""
        if self.event is not None:
            self.event.synchronize()
            for tensor in self.batch.values():  # lest its memory be used again while the step still reads it
                tensor.record_stream(torch.cuda.current_stream(tensor.device))
        return self.batch


class _Copies:
    """Copies to a device: to a GPU from pinned memory and beside the step, in a CUDA stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda_stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def start(self, batch: Columns) -> _Copied:
        tensors = {name: torch.from_numpy(column) for name, column in batch.items()}
        if self._cuda_stream is None:
            return _Copied({name: tensor.to(self._device) for name, tensor in tensors.items()})
        with torch.cuda.stream(self._cuda_stream):
            copied = {name: tensor.pin_memory().to(self._device, non_blocking=True) for name, tensor in tensors.items()}
            event = torch.cuda.Event()
            event.record(self._cuda_stream)
        return _Copied(copied, event)


def _evaluated_rows(examples: TrialExamples, seed: int, sample: int | None) -> dict[str, Rows]:
    """The rows of each evaluated split, sorted; the same for all trials of a study, and a larger sample holds a
    smaller one.
    """
    train, validation, chosen = examples.rows_of("train"), examples.rows_of("validation"), examples.chosen
    num_validation = len(validation)
    order = permutation(num_validation, seed)
    if chosen is not None and not (len(chosen) and all(0 <= row < num_validation for row in chosen)):
        raise SpecError(
            f"Workload.chosen_examples must be rows of the {num_validation} validation examples, but got "
            f"{list(chosen)}; choose among 0 to {num_validation - 1}."
        )
    of_chosen = np.sort(order[:NUM_CHOSEN]) if chosen is None else np.unique(np.asarray(chosen, np.int64))
    return {
        "train": train[np.sort(first_of_permutation(len(train), seed, MAX_TRAINING_SAMPLE))],
        "validation": validation[np.sort(order[:sample])],
        FULL_VALIDATION: validation,
        CHOSEN: validation[of_chosen],
    }
