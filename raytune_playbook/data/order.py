"""The one global order of examples that all workers of a trial share (DESIGN decision 4).

The seeded permutations of epochs 0, 1, 2, ... are laid end to end; global batch k is rows k B to (k + 1) B of them, and
rank r takes its equal slice. So every batch is full, every example comes once per epoch, any number of workers sees the
same global batches, and a position in the data is one number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raytune_playbook.data.columns import Rows
from raytune_playbook.errors import SpecError
from raytune_playbook.study.seeds import shared_seed
from raytune_playbook.study.trial import TrialSpec


@dataclass(frozen=True)
class BatchShare:
    """One worker's equal share of every global batch.

    Fields:
        batch_size: examples of a global batch.
        rank, num_workers: which of how many workers.
    """

    batch_size: int
    rank: int = 0
    num_workers: int = 1

    @property
    def size(self) -> int:
        """This worker's examples of a global batch; where they don't come out even, evaluation pads."""
        return -(-self.batch_size // self.num_workers)


def permutation(num_examples: int, seed: int) -> Rows:
    """A seeded permutation of 0..num_examples - 1, of shape (num_examples,).

    Sorts the raw 64-bit output of Philox, a counter-based generator whose numbers numpy guarantees; numpy's own
    shuffling may change between versions.
    """
    keys = np.random.Philox(key=seed).random_raw(num_examples)
    return np.argsort(keys, kind="stable")


def first_of_permutation(num_examples: int, seed: int, number: int) -> Rows:
    """The first ``number`` of `permutation`, without sorting all the others."""
    if number >= num_examples:
        return permutation(num_examples, seed)
    keys = np.random.Philox(key=seed).random_raw(num_examples)
    largest = np.partition(keys, number - 1)[number - 1]
    chosen = np.flatnonzero(keys <= largest)  # ascending, so that equal keys keep their order as in the whole
    return chosen[np.argsort(keys[chosen], kind="stable")][:number]


def require_batch_size(share: BatchShare, num_examples: int) -> None:
    """Check that training batches can be shared.

    Raises:
        SpecError: the workers cannot share a batch equally, or an epoch has less than one batch.
    """
    batch_size, num_workers = share.batch_size, share.num_workers
    if batch_size < 1:
        raise SpecError(f"batch_size must be at least 1, but got {batch_size}; give a number of examples.")
    if batch_size % num_workers:
        raise SpecError(
            f"batch_size must be a multiple of the number of workers, but got {batch_size} over {num_workers} workers; "
            "change one of them."
        )
    if num_examples < batch_size:
        raise SpecError(
            f"batch_size must not exceed the number of training examples, but got {batch_size} of {num_examples}; "
            "make it smaller."
        )


def batch_rows(trial: TrialSpec, num_examples: int, share: BatchShare, *, first_batch: int = 0) -> Iterator[Rows]:
    """A worker's rows of global batch first_batch, first_batch + 1, ..., without end.

    Each is of shape (share.size,). No batch depends on those before it, so a start anywhere costs the same.

    Raises:
        SpecError: the workers cannot share a batch equally, or an epoch has less than one batch.
    """
    require_batch_size(share, num_examples)
    epoch, position = divmod(first_batch * share.batch_size, num_examples)
    order = permutation(num_examples, shared_seed("shuffle", trial, epoch=epoch))
    while True:
        first, last = position + share.rank * share.size, position + (share.rank + 1) * share.size
        if position + share.batch_size <= num_examples:
            yield order[first:last]
            position += share.batch_size
            continue
        # The batch that straddles two epochs.
        epoch += 1
        following = permutation(num_examples, shared_seed("shuffle", trial, epoch=epoch))
        yield np.concatenate([order, following[: share.batch_size]])[first:last]
        order, position = following, position + share.batch_size - num_examples


def evaluation_rows(num_examples: int, share: BatchShare) -> Iterator[tuple[Rows, Rows]]:
    """A worker's rows of each evaluation batch with their weights, both of shape (share.size,).

    The last batch is padded with row 0 at weight 0, so that every example counts exactly once (rule EV3) and every
    batch has the same shape.
    """
    for start in range(0, num_examples, share.size * share.num_workers):
        wanted = np.arange(start + share.rank * share.size, start + (share.rank + 1) * share.size)
        real = wanted < num_examples
        yield np.where(real, wanted, 0), real.astype(np.int64)
