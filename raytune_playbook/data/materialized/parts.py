"""What tasks read of a source: fragments of files, some rows of arrays, or a block of a Ray Dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ray
import ray.data

from raytune_playbook.data.columns import Columns, num_bytes, num_examples
from raytune_playbook.data.datasets import Source
from raytune_playbook.data.decode import Part
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.ray_data import BlockRef, dataset_blocks

TASK_ROWS = 4096
"""As many of the examples that were given as arrays are preprocessed in one task."""


@dataclass(frozen=True)
class ArrayRows:
    """Consecutive rows of arrays that lie in the object store."""

    arrays: ray.ObjectRef[Columns]
    first: int
    last: int
    num_bytes: int
    name: str

    @property
    def num_examples(self) -> int:
        """The number of rows."""
        return self.last - self.first

    def read(self) -> Columns:
        """The rows, as views."""
        return {name: values[self.first : self.last] for name, values in ray.get(self.arrays).items()}

    def place(self, row: int) -> str:
        """By the row's number in the arrays that were given."""
        return f"row {self.first + row}"


@dataclass(frozen=True)
class DatasetBlock:
    """A block of a Ray Dataset."""

    block: BlockRef
    name: str

    @property
    def num_examples(self) -> int:
        """The number of rows."""
        return self.block.num_examples

    @property
    def num_bytes(self) -> int:
        """What it takes in the object store."""
        return self.block.num_bytes

    def read(self) -> Columns:
        """Its columns, as those of files are read."""
        return self.block.read(self.name)

    def place(self, row: int) -> str:
        """By its number in the block."""
        return f"row {row} of {self.name}"


def parts_of(split: str, source: Source) -> Sequence[Part]:
    """The parts of a split's source in their order.

    For them arrays are put into the object store, and a Ray Dataset is executed.
    """
    if isinstance(source, Listing):
        return source.fragments
    if isinstance(source, ray.data.Dataset):
        blocks = enumerate(dataset_blocks(source))
        return [DatasetBlock(block, f"block {number} of {split!r}") for number, block in blocks]
    arrays, number, size = ray.put(source), num_examples(source), num_bytes(source)
    bounds = [(start, min(start + TASK_ROWS, number)) for start in range(0, number, TASK_ROWS)]
    return [
        ArrayRows(arrays, start, end, size * (end - start) // number, f"rows {start} to {end - 1} of {split!r}")
        for start, end in bounds
    ]
