"""Reading fragments without end ahead of who trains on them, and cutting them into windows: what a `Streamer` does.

A `Reader` keeps tasks at work, and a `Cutter` cuts the blocks that they make into windows; both live in the thread of
one run. By plain tasks, since memory must be bounded: what Ray Data keeps ready for a slow consumer exceeded the limit
that it was given about eight times.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import ray

from raytune_playbook.data.columns import Columns
from raytune_playbook.data.decode import Part, Recipe, Report, read_and_decode, tasks_of
from raytune_playbook.data.files.find import UnreadableError
from raytune_playbook.data.files.fragments import Fragment
from raytune_playbook.data.streaming.windows import Layout, Place, Segment, fragment_order
from raytune_playbook.errors import DataError
from raytune_playbook.study.trial import TrialSpec

TASKS_PER_WINDOW = 8
"""At least, where the fragments are small enough; what a task has in the making is memory, too."""

QUEUED_PER_CPU = 2
"""Without one that waits, a CPU idles for some milliseconds between two tasks."""

WAKE_S = 0.05


@dataclass(frozen=True)
class Block:
    """Consecutive examples that a task has read, or those that are left of them.

    Fields:
        ref: to all that the task has read.
        first: the position of the first example.
        size: how many there are.
        offset: the row of the first one among all that the task has read.
    """

    ref: ray.ObjectRef[Columns]
    first: int
    size: int
    offset: int = 0

    def after(self, number: int) -> Block:
        """Without the first ones."""
        return replace(self, first=self.first + number, size=self.size - number, offset=self.offset + number)


@dataclass(frozen=True)
class Window:
    """A window that is whole: its segments, each with a reference to the block that holds it."""

    place: Place
    segments: tuple[Segment, ...]
    blocks: tuple[ray.ObjectRef[Columns], ...]


@dataclass(frozen=True)
class Stream:
    """What a split is streamed from.

    Fields:
        fragments: in the order of their names, each with its number of examples.
        window_bytes: about what a window takes once it is decoded.
    """

    fragments: tuple[Fragment, ...]
    recipe: Recipe
    window_examples: int
    window_bytes: int
    is_remote: bool = False

    @property
    def layout(self) -> Layout:
        """How an epoch is cut into windows."""
        return Layout(sum(fragment.num_examples or 0 for fragment in self.fragments), self.window_examples)

    @property
    def task_examples(self) -> int:
        """The most examples of a task: some fragments, or a large one."""
        largest = max(fragment.num_examples or 0 for fragment in self.fragments)
        return max(1, self.window_examples // TASKS_PER_WINDOW, largest)

    @property
    def memory_bytes(self) -> int:
        """The most that one gang's stream takes where all of its workers are on one node.

        In the object store a window that is ready, one in the making and half of one begun before it is complete; of
        the workers their parts of the window that they train on, of the next one and, when they change over, of the one
        after it; and what tasks have in the making. Ray frees what was let go after
        ``RAY_free_objects_period_milliseconds``: on clusters of ours a tenth of a second, elsewhere up to one.
        """
        tasks = (
            (QUEUED_PER_CPU * self.recipe.num_cpus + 1) * self.task_examples * self.window_bytes // self.window_examples
        )
        return int(5.5 * self.window_bytes) + tasks


class _ReadTask(Protocol):
    """`_read` as a remote function with two values."""

    def remote(
        self, parts: Sequence[Part], recipe: Recipe, report: Report, *, is_remote: bool
    ) -> tuple[ray.ObjectRef[None], ray.ObjectRef[Columns]]:
        """Start it."""


@dataclass(frozen=True)
class _Running:
    """A task; ``done`` can be fetched without the block."""

    done: ray.ObjectRef[None]
    block: Block


@dataclass(frozen=True)
class _NextTask:
    """A task to come: what it reads, and the position of the first example."""

    parts: Sequence[Part]
    first: int

    @property
    def num_examples(self) -> int:
        return sum(part.num_examples or 0 for part in self.parts)


class Reader:
    """Keeps the pipeline's CPUs at work on a stream's fragments, from the one on in which a window begins."""

    def __init__(self, stream: Stream, trial: TrialSpec, first: Place, report: Report) -> None:
        self._stream, self._report = stream, report
        self._tasks = _tasks(stream, trial, first)
        self._next = next(self._tasks)
        reading = ray.remote(_read)  # type: ignore[arg-type] # Ray's types know no keyword arguments
        self._read = cast(_ReadTask, reading.options(num_cpus=1, num_returns=2, scheduling_strategy="SPREAD"))
        self._started: deque[_Running] = deque()
        self._running: list[ray.ObjectRef[None]] = []

    def submit(self, *, before: int) -> None:
        """Start tasks that begin before a position: for each CPU one, and one that waits for its end."""
        self._look(0)
        while len(self._running) < QUEUED_PER_CPU * self._stream.recipe.num_cpus and self._next.first < before:
            task = self._next
            self._next = next(self._tasks)
            done, block = self._read.remote(
                task.parts, self._stream.recipe, self._report, is_remote=self._stream.is_remote
            )
            self._started.append(_Running(done, Block(block, task.first, task.num_examples)))
            self._running.append(done)

    def next_block(self) -> Block | None:
        """The next block; None where it is not read yet.

        Raises:
            RayError: its task raised.
        """
        if not self._started or self._started[0].done in self._running:
            return None
        ended = self._started.popleft()
        ray.get(ended.done)
        return ended.block

    def wait(self) -> None:
        """Wait a while for a task to end."""
        if self._running:
            self._look(WAKE_S)
        else:
            time.sleep(WAKE_S)

    def _look(self, timeout_s: float) -> None:
        if self._running:
            _, running = ray.wait([*self._running], timeout=timeout_s, fetch_local=False)
            self._running = [ref for ref in self._running if ref in running]


def _tasks(stream: Stream, trial: TrialSpec, first: Place) -> Iterator[_NextTask]:
    """Epoch after epoch without end: the tasks, from the one on in which a window begins."""
    epoch, start = first.epoch, stream.layout.start(first)
    while True:
        position = epoch * stream.layout.num_examples
        order = [stream.fragments[number] for number in fragment_order(trial, epoch, len(stream.fragments))]
        while position + (order[0].num_examples or 0) <= start:
            position += order.pop(0).num_examples or 0
        for parts in tasks_of(order, max_examples=stream.task_examples):
            task = _NextTask(parts, position)
            yield task
            position += task.num_examples
        epoch += 1


def _read(parts: Sequence[Part], recipe: Recipe, report: Report, *, is_remote: bool) -> tuple[None, Columns]:
    """The task; the first value says that it is done without fetching the second."""
    try:
        columns = read_and_decode(parts, recipe, report, is_remote=is_remote)
    except UnreadableError as error:
        what = str(error).rpartition("; ")[0]
        raise DataError(
            f"{what}; restore it, or have `raytune-playbook preprocess` leave it out and count it: from a stream only "
            "files that show their damage when the round begins can be left out."
        ) from None
    if columns is None:
        raise DataError(f"Examples are needed, but {parts[0].name} has none; it had some when the round began.")
    return None, columns


class Cutter:
    """Cuts the blocks, as they come, into windows.

    Fields:
        complete: the window that is whole; None while there is none.
    """

    def __init__(self, layout: Layout, first: Place) -> None:
        self._layout, self._place = layout, first
        self._segments: list[Segment] = []
        self._blocks: list[ray.ObjectRef[Columns]] = []
        self._num = 0
        self._rest: deque[Block] = deque()
        self.complete: Window | None = None

    @property
    def end(self) -> int:
        """The position after the window that is cut now."""
        return self._layout.start(self._place) + self._layout.size(self._place.window)

    def add(self, block: Block) -> None:
        """The next block."""
        self._rest.append(block)
        self._cut()

    def next_window(self) -> None:
        """Go on to the window after the complete one."""
        self._place = self._layout.after(self._place)
        self._segments, self._blocks, self._num, self.complete = [], [], 0, None
        self._cut()

    def _cut(self) -> None:
        size = self._layout.size(self._place.window)
        while self._rest and self._num < size:
            block = self._rest.popleft()
            skipped = max(0, self._layout.start(self._place) - block.first)  # lies before the first window
            taken = min(block.size - skipped, size - self._num)
            self._segments.append(Segment(self._num, taken, block.offset + skipped))
            self._blocks.append(block.ref)
            self._num += taken
            if (used := skipped + taken) < block.size:
                self._rest.appendleft(block.after(used))
        if self._num == size:
            self.complete = Window(self._place, tuple(self._segments), tuple(self._blocks))
