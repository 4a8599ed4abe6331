"""The actor that reads a gang's windows: one thread per run makes them, calls hand them out.

In the object store lie the window that is ready, the next one in the making, and little more (`Stream.memory_bytes`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

import ray

from raytune_playbook.data.decode import Notes, Report
from raytune_playbook.data.ray_data import as_data_error, require_cpu
from raytune_playbook.data.streaming.read_ahead import Cutter, Parts, Reader, Stream
from raytune_playbook.data.streaming.windows import Place
from raytune_playbook.errors import PlaybookError, RunError
from raytune_playbook.study.trial import TrialSpec

POLL_S = 5.0
SILENT_S = 15.0
"""Tasks that say nothing for so long while a worker waits may have no CPU."""

WAKE_S = 0.05


@dataclass(frozen=True)
class Window:
    """Where a window's examples are, and the seconds that all reading so far took, by stage."""

    parts: Parts
    seconds: dict[str, float]


class Streamer:
    """The actor; every method returns within `POLL_S`, but where a CPU is looked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._me = ray.get_runtime_context().current_actor

    def is_ready(self) -> bool:
        """Whether the actor is there."""
        return True

    def begin(self, attempt: str, number: int, stream: Stream, trial: TrialSpec, first: Place, num_workers: int) -> str:
        """Read from a window on, for one attempt at a trial; whichever worker asks first, for all of them.

        Returns:
            The name of this run for `window`. Runs of other attempts end.
        """
        name = f"{attempt}/{number}"
        with self._lock:
            for other in [other for other in self._runs if not other.startswith(f"{attempt}/")]:
                self._runs.pop(other).end()
            if name not in self._runs:
                self._runs[name] = _Run(stream, trial, first, num_workers, Report(self._me, name))
        return name

    def note(self, of: str, seconds: dict[str, float], skipped: list[str]) -> None:
        """A task's numbers."""
        if (run := self._runs.get(of)) is not None:
            run.notes.add(seconds, skipped)

    def window(self, of: str, place: Place, rank: int) -> Window | None:
        """A window's blocks for one worker; None where it is not ready yet.

        Raises:
            PlaybookError: it cannot be read.
        """
        if (run := self._runs.get(of)) is None:
            raise RunError("The input pipeline was given to another trial.")
        return run.window(place, rank)

    def leave(self, of: str, rank: int) -> None:
        """A worker needs no more windows of a run, which ends with its last one."""
        with self._lock:
            if (run := self._runs.get(of)) is not None and run.leave(rank):
                self._runs.pop(of).end()


class _Run:
    """One pass over the stream, from one window on."""

    def __init__(self, stream: Stream, trial: TrialSpec, first: Place, num_workers: int, report: Report) -> None:
        self.notes = Notes()
        self._stream, self._trial, self._num_workers, self._report = stream, trial, num_workers, report
        self._changed = threading.Condition()
        self._ready: dict[Place, Parts] = {}
        self._fetched: set[int] = set()
        self._left: set[int] = set()
        self._error: PlaybookError | None = None
        self._ended = False
        threading.Thread(target=self._make, args=(replace(first, offset=0),), name="windows", daemon=True).start()

    def window(self, place: Place, rank: int) -> Window | None:
        asked_at_s = time.monotonic()
        with self._changed:
            while place not in self._ready and self._error is None and not self._ended:
                if (left_s := asked_at_s + POLL_S - time.monotonic()) <= 0:
                    break
                self._changed.wait(left_s)
            if place in self._ready:
                return Window(self._taken(place, rank), dict(self.notes.seconds))
            if self._error is not None or self._ended:
                raise self._error or RunError("The input pipeline ended.")
        # A task of ours that takes long has a CPU, and may have the only one.
        if self.notes.num_begun <= self.notes.num_ended and time.monotonic() - self.notes.heard_at_s > SILENT_S:
            require_cpu(self._stream.recipe.num_cpus, SILENT_S)
        return None

    def leave(self, rank: int) -> bool:
        self._left.add(rank)
        return len(self._left) == self._num_workers

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._ready.clear()
            self._changed.notify_all()

    def _taken(self, place: Place, rank: int) -> Parts:
        parts = self._ready[place]
        self._fetched.add(rank)
        if len(self._fetched) == self._num_workers:
            self._ready.clear()
            self._fetched.clear()
            self._changed.notify_all()
        return parts

    # ------------------------------------------------------------------ the thread that makes windows

    def _make(self, first: Place) -> None:
        try:
            require_cpu(self._stream.recipe.num_cpus)
            reader = Reader(self._stream, self._trial, first, self._report)
            cutter = Cutter(self._stream.layout, first)
            while not self._ended:
                reader.submit(before=cutter.end + self._stream.window_examples // 2)
                while cutter.complete is None and (block := reader.next_block()) is not None:
                    cutter.add(*block)
                if cutter.complete is None:
                    reader.wait()
                else:
                    self._publish(cutter)
        except PlaybookError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the workers wait for it
            self._fail(as_data_error(error))

    def _publish(self, cutter: Cutter) -> None:
        """Hand over a complete window, if the last one was taken within a while."""
        with self._changed:
            if self._ready and not self._ended:
                self._changed.wait(WAKE_S)
            if not self._ready and not self._ended and cutter.complete is not None:
                self._ready.update([cutter.complete])
                cutter.next_window()
                self._changed.notify_all()

    def _fail(self, error: PlaybookError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()
