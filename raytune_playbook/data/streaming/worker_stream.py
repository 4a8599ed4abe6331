"""Streaming: examples that memory doesn't hold are read anew every epoch, ahead of the training, window by window.

Each worker gathers its own rows of the next window, out of the blocks that its gang's `Streamer` names, while it trains
on those of the last: it holds its part of two windows, and of a third when it changes over.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.data.columns import Columns
from raytune_playbook.data.decode import Handle
from raytune_playbook.data.order import Rows
from raytune_playbook.data.prefetch import Prefetched
from raytune_playbook.data.ray_data import NO_CPU_S, as_data_error
from raytune_playbook.data.streaming.read_ahead import Stream
from raytune_playbook.data.streaming.streamer import POLL_S, Streamer, Window
from raytune_playbook.data.streaming.windows import Place, batches, gather, rank_rows
from raytune_playbook.errors import RunError
from raytune_playbook.study.trial import TrialSpec

ANSWER_TIMEOUT_S = POLL_S + NO_CPU_S + 30.0


class StreamerDoor:
    """A worker's way to its gang's `Streamer`, kept for the worker's life, since an actor takes a second to start."""

    def __init__(self) -> None:
        self._name = ""
        self._streamer: Handle | None = None

    def open(self) -> str:
        """On the first worker: start the actor on its node, unless it is there; it ends with this worker.

        Returns:
            Its name, for the other workers.
        """
        if self._streamer is not None and _is_alive(self._streamer):
            return self._name
        self._name = f"raytune-playbook-stream-{uuid.uuid4().hex}"
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(num_cpus=0, max_restarts=0)(Streamer)
        started: Handle = actor.options(name=self._name, scheduling_strategy=here, max_concurrency=64).remote()
        _answer(started.is_ready.remote())  # so that the others find its name
        self._streamer = started
        return self._name

    def find(self, name: str) -> Handle:
        """The actor of this name."""
        if self._streamer is None or name != self._name:
            self._name, self._streamer = name, ray.get_actor(name)
        return self._streamer


def _is_alive(streamer: Handle) -> bool:
    try:
        return bool(ray.get(streamer.is_ready.remote(), timeout=ANSWER_TIMEOUT_S))
    except ray.exceptions.RayError:
        return False


class StreamedBatches:
    """One worker's training batches of one attempt at a trial.

    Args:
        streamer: the gang's.
        attempt: names the attempt; the same for all of its workers.
    """

    def __init__(
        self, stream: Stream, streamer: Handle, attempt: str, trial: TrialSpec, *, rank: int, num_workers: int
    ) -> None:
        self._stream, self._streamer, self._attempt, self._trial = stream, streamer, attempt, trial
        self._rank, self._num_workers = rank, num_workers
        self._num_runs = 0
        self._seconds: dict[str, float] = {"shuffle": 0.0}
        self._read: dict[int, dict[str, float]] = {}

    @property
    def num_examples(self) -> int:
        """Of an epoch."""
        return self._stream.layout.num_examples

    def begin(self, batch_size: int, *, first_batch: int) -> StreamRun:
        """Start reading for global batches of ``batch_size`` from ``first_batch`` on.

        Every worker must ask for the same ones in the same order.
        """
        self._num_runs += 1
        position, number = first_batch * batch_size, self._num_runs
        first = self._stream.layout.place(position)
        run = _answer(
            self._streamer.begin.remote(self._attempt, number, self._stream, self._trial, first, self._num_workers)
        )
        windows = self._windows(number, run, position, batch_size)
        return StreamRun(windows, batch_size // self._num_workers, self._streamer, run, self._rank)

    def stage_seconds(self) -> Mapping[str, float]:
        """Busy seconds so far by stage; reading and decoding at the pace of all CPUs of the pipeline."""
        cpus, runs = self._stream.recipe.num_cpus, list(self._read.values())
        read = {stage: 0.0 for seconds in runs for stage in seconds}
        for seconds in runs:
            for stage, amount in seconds.items():
                read[stage] += amount / cpus
        return read | self._seconds

    def _windows(self, number: int, run: str, position: int, batch_size: int) -> Iterator[Columns]:
        """This worker's rows of each window, from a position of the stream on."""
        layout = self._stream.layout
        first = layout.place(position)
        place = Place(first.epoch, first.window)
        while True:
            rows = rank_rows(
                self._trial,
                layout,
                place,
                first=position,
                batch_size=batch_size,
                rank=self._rank,
                num_workers=self._num_workers,
            )
            # No name for it here, nor for the blocks: while this waits to go on, nothing shall keep them.
            yield self._gathered(number, run, place, rows)
            place = layout.after(place)

    def _gathered(self, number: int, run: str, place: Place, rows: Rows) -> Columns:
        window: Window | None = None
        while window is None:
            window = _answer(self._streamer.window.remote(run, place, self._rank))
        self._read[number] = window.seconds
        blocks = _answer([ref for _, (ref,) in window.parts])
        started_s = time.perf_counter()
        gathered = gather(dict(zip([segment for segment, _ in window.parts], blocks, strict=True)), rows)
        self._seconds["shuffle"] += time.perf_counter() - started_s
        return gathered


class StreamRun:
    """One pass over the stream, as one worker sees it."""

    def __init__(self, windows: Iterator[Columns], size: int, streamer: Handle, run: str, rank: int) -> None:
        self._windows, self._size = windows, size
        self._streamer, self._run, self._rank = streamer, run, rank

    def batches(self) -> Iterator[Columns]:
        """This worker's slices of the global batches, without end."""
        windows = Prefetched(self._windows, depth=1)
        try:
            yield from batches(windows, self._size)
        finally:
            windows.close()

    def leave(self) -> None:
        """Need no more; what waits for a window stops waiting once all workers have left."""
        with suppress(ray.exceptions.RayError):  # a streamer that is gone has no runs any more
            self._streamer.leave.remote(self._run, self._rank)


def _answer(ref: Any) -> Any:
    try:
        return ray.get(ref, timeout=ANSWER_TIMEOUT_S)
    except ray.exceptions.GetTimeoutError:
        raise RunError(f"The input pipeline did not answer for {ANSWER_TIMEOUT_S:.0f} s.") from None
    except ray.exceptions.RayError as error:
        raise as_data_error(error) from None
