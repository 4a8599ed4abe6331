"""The actor that reads a gang's windows: one thread per run makes them (`read_ahead`), the workers fetch them.

There is one `Streamer` per gang, on the node of its first worker; `worker_stream` is the workers' side. In the object
store lie the window that is ready, the next one in the making, and little more (`Stream.memory_bytes`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Protocol

import ray

from raytune_playbook.data.actors import RemoteMethod, as_playbook_error
from raytune_playbook.data.decode import Notes, NoteTaker, Report
from raytune_playbook.data.not_finite import NotFinite
from raytune_playbook.data.ray_data import require_cpu
from raytune_playbook.data.streaming.read_ahead import Cutter, Reader, Stream, Window
from raytune_playbook.data.streaming.windows import Place
from raytune_playbook.errors import PlaybookError, RunError
from raytune_playbook.study.trial import TrialSpec

POLL_S = 5.0
SILENT_S = 15.0
"""Tasks that say nothing for so long while a worker waits may have no CPU."""

WAKE_S = 0.05


@dataclass(frozen=True)
class RunName:
    """One of the runs of an attempt at a trial; ``number`` counts them from 1."""

    attempt: str
    number: int

    def __str__(self) -> str:
        return f"{self.attempt}/{self.number}"


@dataclass(frozen=True)
class RunStart:
    """What a run reads, from which window on, and how many workers fetch each window."""

    stream: Stream
    trial: TrialSpec
    first: Place
    num_workers: int


@dataclass(frozen=True)
class ReadyWindow:
    """A window, and the seconds that all reading of the run so far took, by stage."""

    window: Window
    seconds: dict[str, float]


class Streamer:
    """The actor; every method returns within `POLL_S`, but where a CPU is looked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[RunName, _Run] = {}
        self._me: NoteTaker = ray.get_runtime_context().current_actor

    def is_ready(self) -> bool:
        """Whether the actor is there."""
        return True

    def begin(self, name: RunName, start: RunStart) -> None:
        """Start a run, by whichever worker comes first, for all of them; runs of other attempts end."""
        with self._lock:
            for other in [other for other in self._runs if other.attempt != name.attempt]:
                self._runs.pop(other).end()
            if name not in self._runs:
                self._runs[name] = _Run(start, Report(self._me, str(name)))

    def note(self, of: str, seconds: dict[str, float], skipped: list[str], faulty: list[NotFinite]) -> None:
        """A task's numbers."""
        for name, run in list(self._runs.items()):
            if str(name) == of:
                run.notes.add(seconds, skipped, faulty)

    def window(self, name: RunName, place: Place, rank: int) -> ReadyWindow | None:
        """A window's blocks for one worker; None where it is not ready yet.

        Raises:
            PlaybookError: it cannot be read.
        """
        if (run := self._runs.get(name)) is None:
            raise RunError("The input pipeline was given to another trial.")
        return run.window(place, rank)

    def leave(self, name: RunName, rank: int) -> None:
        """A worker needs no more windows of a run, which ends with its last one."""
        with self._lock:
            if (run := self._runs.get(name)) is not None and run.leave(rank):
                self._runs.pop(name).end()


class StreamerHandle(Protocol):
    """A handle to a `Streamer`."""

    @property
    def is_ready(self) -> RemoteMethod[[], bool]:
        """As there."""

    @property
    def begin(self) -> RemoteMethod[[RunName, RunStart], None]:
        """As there."""

    @property
    def window(self) -> RemoteMethod[[RunName, Place, int], ReadyWindow | None]:
        """As there."""

    @property
    def leave(self) -> RemoteMethod[[RunName, int], None]:
        """As there."""


class _Run:
    """Windows of one trial in their order, from one on; each is there until all workers have fetched it."""

    def __init__(self, start: RunStart, report: Report) -> None:
        self.notes = Notes()
        self._start, self._report = start, report
        self._changed = threading.Condition()
        self._ready: Window | None = None
        self._fetched: set[int] = set()
        self._left: set[int] = set()
        self._error: PlaybookError | None = None
        self._ended = False
        threading.Thread(target=self._make, name="windows", daemon=True).start()

    def window(self, place: Place, rank: int) -> ReadyWindow | None:
        deadline_s = time.monotonic() + POLL_S
        with self._changed:
            while (ready := self._ready_at(place)) is None and self._error is None and not self._ended:
                if (left_s := deadline_s - time.monotonic()) <= 0:
                    break
                self._changed.wait(left_s)
            if ready is not None:
                self._fetched_by(rank)
                return ReadyWindow(ready, dict(self.notes.seconds))
            if self._error is not None or self._ended:
                raise self._error or RunError("The input pipeline ended.")
        # A task of ours that takes long has a CPU, and may have the only one.
        if self.notes.num_begun <= self.notes.num_ended and time.monotonic() - self.notes.heard_at_s > SILENT_S:
            require_cpu(self._start.stream.recipe.num_cpus, SILENT_S)
        return None

    def leave(self, rank: int) -> bool:
        """Whether it was the last one."""
        self._left.add(rank)
        return len(self._left) == self._start.num_workers

    def end(self) -> None:
        with self._changed:
            self._ended, self._ready = True, None
            self._changed.notify_all()

    def _ready_at(self, place: Place) -> Window | None:
        return self._ready if self._ready is not None and self._ready.place == place else None

    def _fetched_by(self, rank: int) -> None:
        self._fetched.add(rank)
        if len(self._fetched) == self._start.num_workers:
            self._ready = None
            self._fetched.clear()
            self._changed.notify_all()

    # ------------------------------------------------------------------ the thread that makes windows

    def _make(self) -> None:
        stream, first = self._start.stream, replace(self._start.first, offset=0)
        try:
            require_cpu(stream.recipe.num_cpus)
            reader = Reader(stream, self._start.trial, first, self._report)
            cutter = Cutter(stream.layout, first)
            while not self._ended:
                reader.submit(before=cutter.end + stream.window_examples // 2)
                while cutter.complete is None and (block := reader.next_block()) is not None:
                    cutter.add(block)
                if cutter.complete is None:
                    reader.wait()
                else:
                    self._publish(cutter)
        except PlaybookError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the workers wait for it
            self._fail(as_playbook_error(error))

    def _publish(self, cutter: Cutter) -> None:
        """Hand over a complete window, if the last one was taken within a while."""
        with self._changed:
            if self._ready is not None and not self._ended:
                self._changed.wait(WAKE_S)
            if self._ready is None and not self._ended:
                self._ready = cutter.complete
                cutter.next_window()
                self._changed.notify_all()

    def _fail(self, error: PlaybookError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()
