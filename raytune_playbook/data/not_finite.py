"""Examples that hold NaN or an infinity, found where they are read.

Some workloads leave them out of the loss, as of a label that is missing, so that they are no fault by themselves: the
check before trial 0 asks for their loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from raytune_playbook.data.columns import Array, Columns

MAX_KEPT = 8
"""So many examples are kept for each column."""


@dataclass(frozen=True)
class NotFinite:
    """An example that holds a number which is not finite.

    Fields:
        column: that holds it.
        kind: ``NaN`` or ``infinity``.
        place: where the example was read.
        example: all of its columns, of shape (1, ...).
    """

    column: str
    kind: str
    place: str
    example: Columns

    def sentence(self, split: str) -> str:
        """Which column, split and row."""
        return f"column {self.column!r} of {split!r} holds {self.kind} in {self.place}"


def not_finite(columns: Columns, place: Callable[[int], str]) -> list[NotFinite]:
    """The first few of some examples, for each column that holds any.

    Args:
        place: how a user calls the place of a row, such as ``row 3 of s3://bucket/part.csv``.
    """
    found = []
    for name, values in columns.items():
        if values.dtype.kind != "f" or _is_finite(values):
            continue
        rows = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        for row in map(int, rows[:MAX_KEPT]):
            kind = "NaN" if np.isnan(values[row]).any() else "infinity"
            example = {column: each[row : row + 1].copy() for column, each in columns.items()}
            found.append(NotFinite(name, kind, place(row), example))
    return found


def first_few(found: Iterable[NotFinite]) -> tuple[NotFinite, ...]:
    """As many for each column, out of several places."""
    num: Counter[str] = Counter()
    kept = []
    for each in found:
        num[each.column] += 1
        if num[each.column] <= MAX_KEPT:
            kept.append(each)
    return tuple(kept)


def _is_finite(values: Array) -> bool:
    """Whether all of it is, for sure: an infinity or a NaN stays one in a sum, which needs no memory."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum(dtype=np.float64)))
