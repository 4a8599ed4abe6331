"""The arithmetic of the streaming mode: which example lies where in the one global order (DESIGN decision 4).

In each epoch the fragments (row groups, files) are laid end to end in a seeded order, cut into windows of equal size
(the last one holds the rest), and each window is shuffled. Laid end to end, the windows of epochs 0, 1, 2, ... are the
order: global batch k is positions k B to (k + 1) B of it, and rank r takes its equal slice, whatever the number of
workers. A position is a number, and as (epoch, window, offset) a place. Nothing here reads, waits or knows Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from raytune_playbook.data.columns import Columns, Rows, concatenated, num_examples, require_alike
from raytune_playbook.data.order import BatchShare, permutation
from raytune_playbook.study.seeds import shared_seed
from raytune_playbook.study.trial import TrialSpec


@dataclass(frozen=True)
class Place:
    """A position by epoch, window, and offset within the window."""

    epoch: int
    window: int
    offset: int = 0


@dataclass(frozen=True)
class Layout:
    """How an epoch is cut: ``num_examples`` into windows of ``window_examples``."""

    num_examples: int
    window_examples: int

    @property
    def num_windows(self) -> int:
        """The number of windows of an epoch."""
        return -(-self.num_examples // self.window_examples)

    def size(self, window: int) -> int:
        """The number of examples of a window."""
        return min(self.window_examples, self.num_examples - window * self.window_examples)

    def place(self, position: int) -> Place:
        """Where a position lies."""
        epoch, row = divmod(position, self.num_examples)
        return Place(epoch, *divmod(row, self.window_examples))

    def start(self, place: Place) -> int:
        """The position at which a window begins."""
        return place.epoch * self.num_examples + place.window * self.window_examples

    def after(self, place: Place) -> Place:
        """The next window."""
        last = place.window + 1 == self.num_windows
        return Place(place.epoch + 1, 0) if last else Place(place.epoch, place.window + 1)


def fragment_order(trial: TrialSpec, epoch: int, num_fragments: int) -> Rows:
    """The seeded order in which an epoch reads its fragments, of shape (num_fragments,)."""
    return permutation(num_fragments, shared_seed("files", trial, epoch=epoch))


def window_order(trial: TrialSpec, place: Place, size: int) -> Rows:
    """The seeded order of a window's examples, of shape (size,); numbers count from the window's first example."""
    return permutation(size, shared_seed("window", trial, epoch=place.epoch, window=place.window))


def rank_rows(trial: TrialSpec, layout: Layout, place: Place, share: BatchShare, *, first: int) -> Rows:
    """A worker's examples of one window in their order, from position ``first`` on.

    Each global batch gives a worker one run of ``share.size`` positions, so that its batches are equal consecutive
    slices of what this returns, window after window.
    """
    start, size = layout.start(place), layout.size(place.window)
    positions = np.arange(max(start, first), start + size)
    mine = positions % share.batch_size // share.size == share.rank
    rows: Rows = window_order(trial, place, size)[positions[mine] - start]
    return rows


@dataclass(frozen=True)
class Segment:
    """Consecutive examples of a window, as they lie in one block.

    Fields:
        first: the number of its first example within the window.
        offset: the row of that example within the block.
    """

    first: int
    size: int
    offset: int


def gather(blocks: Mapping[Segment, Columns], rows: Rows) -> Columns:
    """The given examples of a window, whose numbers are ``rows``, out of the blocks that hold its segments.

    Raises:
        DataError: the blocks' columns, types or shapes differ.
    """
    first = next(iter(blocks.values()))
    for block in blocks.values():
        require_alike(first, block, "others")
    gathered = {name: np.empty((len(rows), *values.shape[1:]), values.dtype) for name, values in first.items()}
    for segment, block in blocks.items():
        chosen = np.flatnonzero((rows >= segment.first) & (rows < segment.first + segment.size))
        at = rows[chosen] - segment.first + segment.offset
        for name, values in block.items():
            gathered[name][chosen] = values[at]
    return gathered


def batches(windows: Iterator[Columns], size: int) -> Iterator[Columns]:
    """Consecutive batches of ``size`` examples out of windows; views, but for those that straddle two windows."""
    left: Columns | None = None
    for window in windows:
        number, start = num_examples(window), 0
        if left is not None:
            start = size - num_examples(left)
            left = concatenated([left, _between(window, 0, start)])
            if num_examples(left) < size:
                continue
            yield left
        for first in range(start, number - size + 1, size):
            yield _between(window, first, first + size)
        rest = (number - start) % size
        # A copy, since a view of a window keeps all of it in memory.
        left = {name: values[number - rest :].copy() for name, values in window.items()} if rest else None
        del window  # before the next one is waited for


def _between(columns: Columns, first: int, last: int) -> Columns:
    return {name: values[first:last] for name, values in columns.items()}
