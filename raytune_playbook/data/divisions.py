"""Whether preprocessing makes the same of an example whatever others are in its batch.

Reading, streaming, `predict` and another version of Ray divide examples into batches of their own, so that what depends
on the others would differ between them, and between training and use.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from raytune_playbook.data.columns import Array, Columns, num_examples
from raytune_playbook.errors import DataError

NUM_COMPARED = 8
"""So many examples are preprocessed three times."""

_TOLERANCE, _HALF_TOLERANCE = 1e-3, 1e-2
"""Of an example's largest number: kernels round otherwise for another batch size, and float16 has three digits."""

_ROUNDED_SHARE = 1e-3
"""Of whole numbers, at most so many may differ by one: numbers that were rounded from such."""

_RULE = "Workload.preprocess must make the same of an example whatever others are in its batch"
_REMEDY = "take means, ranges and lengths from outside of the batch, such as from constants of the workload"


def require_same_in_any_division(preprocess: Callable[[Columns], Columns], columns: Columns, where: str) -> None:
    """Preprocess a few examples in one batch, once more, and in two batches.

    Args:
        preprocess: returns columns of shape (num_examples, ...), and may leave examples out.
        columns: of shape (num_examples, ...), of which the first few are taken.
        where: names the place for messages.

    Raises:
        DataError: what comes out differs.
    """
    few = min(NUM_COMPARED, num_examples(columns))
    if few < 2:
        return
    size = max(1, few // 2 - 1)  # two different sizes, the smaller of them large enough for a spread
    whole, again = (preprocess(_copied(columns, 0, few)) for _ in range(2))
    if (name := _different(whole, again)) is not None:
        raise DataError(
            f"Workload.preprocess must make the same of an example every time, but column {name!r} of the first {few} "
            f"examples of {where} differs from one call to the next; leave to Workload.augment what is random."
        )
    first, rest = preprocess(_copied(columns, 0, size)), preprocess(_copied(columns, size, few))
    if alike(first) == alike(rest) == alike(whole):
        parts = {name: np.concatenate([first[name], rest[name]]) for name in whole}
        if (name := _different(whole, parts)) is None:
            return
        what = f"column {name!r} of the first {few} examples of {where} differs"
    else:
        what = f"columns, types or shapes differ ({alike(whole)}, {alike(first)} and {alike(rest)})"
    raise DataError(f"{_RULE}, but {what} when {few} are one batch and when {size} and {few - size} are; {_REMEDY}.")


def alike(columns: Columns) -> dict[str, str]:
    """What must be equal of two batches: names, types, and shapes without the number of examples."""
    return {name: f"{values.dtype}{list(values.shape[1:])}" for name, values in sorted(columns.items())}


def _copied(columns: Columns, first: int, last: int) -> Columns:
    """A copy, which preprocessing may change."""
    return {name: values[first:last].copy() for name, values in columns.items()}


def _different(one: Columns, other: Columns) -> str | None:
    """The first column that differs by more than rounding, in its shape at least; None where none does."""
    if alike(one) != alike(other):
        return next((name for name in one if alike(one).get(name) != alike(other).get(name)), next(iter(other)))
    return next((name for name in one if not _is_same(one[name], other[name])), None)


def _is_same(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        differing = one != other
        far = np.abs(one.astype(np.float64) - other.astype(np.float64)) > 1
        return not far.any() and bool(differing.sum() <= _ROUNDED_SHARE * differing.size)
    shape = len(one), math.prod(one.shape[1:])
    flat, others = (values.reshape(shape).astype(np.float64) for values in (one, other))
    tolerance = _HALF_TOLERANCE if one.dtype.itemsize < 4 else _TOLERANCE
    with np.errstate(invalid="ignore"):
        largest = np.where(np.isfinite(flat), np.abs(flat), 0.0).max(axis=1, initial=0.0, keepdims=True)
        close = np.abs(flat - others) <= tolerance * largest
    return bool((close | (flat == others) | (np.isnan(flat) & np.isnan(others))).all())
