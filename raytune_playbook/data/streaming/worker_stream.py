"""A worker's side of the streaming mode: examples that memory doesn't hold, read anew every epoch, window by window.

Each worker gathers its own rows of the next window, out of the blocks that its gang's `Streamer` names, while it trains
on those of the last: it holds its part of two windows, and of a third when it changes over.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import cast

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.data.actors import answer, answers
from raytune_playbook.data.columns import Columns, Rows
from raytune_playbook.data.order import BatchShare, require_batch_size
from raytune_playbook.data.prefetch import Prefetched
from raytune_playbook.data.ray_data import NO_CPU_S
from raytune_playbook.data.streaming.read_ahead import Stream
from raytune_playbook.data.streaming.streamer import (
    POLL_S,
    ReadyWindow,
    RunName,
    RunStart,
    Streamer,
    StreamerHandle,
)
from raytune_playbook.data.streaming.windows import Place, batches, gather, rank_rows
from raytune_playbook.errors import PlaybookError
from raytune_playbook.study.trial import TrialSpec

ANSWER_TIMEOUT_S = POLL_S + NO_CPU_S + 30.0


class StreamerDoor:
    """A worker's way to its gang's `Streamer`, kept for the worker's life, since an actor takes a second to start."""

    def __init__(self) -> None:
        self._name = ""
        self._streamer: StreamerHandle | None = None

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
        options = actor.options(name=self._name, scheduling_strategy=here, max_concurrency=64)
        started = cast(StreamerHandle, options.remote())
        answer(started.is_ready.remote(), ANSWER_TIMEOUT_S)  # so that the others find its name
        self._streamer = started
        return self._name

    def find(self, name: str) -> StreamerHandle:
        """The actor of this name."""
        if self._streamer is None or name != self._name:
            self._name, self._streamer = name, cast(StreamerHandle, ray.get_actor(name))
        return self._streamer


def _is_alive(streamer: StreamerHandle) -> bool:
    try:
        return answer(streamer.is_ready.remote(), ANSWER_TIMEOUT_S)
    except PlaybookError:
        return False


class StreamedBatches:
    """One worker's training batches of one attempt at a trial.

    Args:
        streamer: the gang's.
        attempt: names the attempt; the same for all of its workers.
        share: this worker's of the global batches.
    """

    def __init__(
        self, stream: Stream, streamer: StreamerHandle, attempt: str, trial: TrialSpec, share: BatchShare
    ) -> None:
        self._stream, self._streamer, self._attempt = stream, streamer, attempt
        self._trial, self._share = trial, share
        self._num_runs = 0
        self._seconds = {"shuffle": 0.0}
        self._read: dict[RunName, dict[str, float]] = {}

    def begin(self, *, first_batch: int) -> StreamRun:
        """Start reading for the global batches from ``first_batch`` on.

        Every worker must begin the same runs in the same order.

        Raises:
            SpecError: the workers cannot share a batch equally, or an epoch has less than one batch.
        """
        require_batch_size(self._share, self._stream.layout.num_examples)
        self._num_runs += 1
        name = RunName(self._attempt, self._num_runs)
        position = first_batch * self._share.batch_size
        start = RunStart(self._stream, self._trial, self._stream.layout.place(position), self._share.num_workers)
        answer(self._streamer.begin.remote(name, start), ANSWER_TIMEOUT_S)
        return StreamRun(self._windows(name, position), self._share, self._streamer, name)

    def stage_seconds(self) -> Mapping[str, float]:
        """Busy seconds so far by stage; reading and decoding at the pace of all CPUs of the pipeline."""
        cpus, runs = self._stream.recipe.num_cpus, list(self._read.values())
        read = {stage: 0.0 for seconds in runs for stage in seconds}
        for seconds in runs:
            for stage, amount in seconds.items():
                read[stage] += amount / cpus
        return read | self._seconds

    def _windows(self, name: RunName, position: int) -> Iterator[Columns]:
        """This worker's rows of each window, from a position on."""
        layout = self._stream.layout
        place = replace(layout.place(position), offset=0)
        while True:
            rows = rank_rows(self._trial, layout, place, self._share, first=position)
            # No name for it here, nor for the blocks: while this waits to go on, nothing shall keep them.
            yield self._gathered(name, place, rows)
            place = layout.after(place)

    def _gathered(self, name: RunName, place: Place, rows: Rows) -> Columns:
        ready: ReadyWindow | None = None
        while ready is None:
            ready = answer(self._streamer.window.remote(name, place, self._share.rank), ANSWER_TIMEOUT_S)
        self._read[name] = ready.seconds
        blocks = answers(ready.window.blocks, ANSWER_TIMEOUT_S)
        started_s = time.perf_counter()
        gathered = gather(dict(zip(ready.window.segments, blocks, strict=True)), rows)
        self._seconds["shuffle"] += time.perf_counter() - started_s
        return gathered


class StreamRun:
    """One of the runs of an attempt, as one worker sees it."""

    def __init__(self, windows: Iterator[Columns], share: BatchShare, streamer: StreamerHandle, name: RunName) -> None:
        self._windows, self._share = windows, share
        self._streamer, self._name = streamer, name

    def batches(self) -> Iterator[Columns]:
        """This worker's slices of the global batches, without end."""
        windows = Prefetched(self._windows, depth=1)
        try:
            yield from batches(windows, self._share.size)
        finally:
            windows.close()

    def leave(self) -> None:
        """Need no more; what waits for a window stops waiting once all workers have left."""
        with suppress(ray.exceptions.RayError):  # a streamer that is gone has no runs any more
            self._streamer.leave.remote(self._name, self._share.rank)
