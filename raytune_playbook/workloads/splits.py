"""How the bundled workloads divide their data sets into splits: by a hash of each example's bytes."""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def split_of(content: bytes) -> Split:
    """The split of an example: about 60% training, 20% validation, 20% test.

    By a hash of its content, so that equal examples share a split and a new example moves no other.
    """
    share = hashlib.blake2b(content, digest_size=2).digest()[0] / 256
    return "train" if share < 0.6 else "validation" if share < 0.8 else "test"


def is_kept(content: bytes, share: float) -> bool:
    """Whether an example is among about ``share`` of all, whatever its split; a larger share holds a smaller one."""
    return hashlib.blake2b(content, digest_size=2).digest()[1] / 256 < share
