"""A hash of each example, the division of a `Split` by it, and the overlaps that it shows between splits.

An example's hash says what it is: equal examples share a split, in whatever order or blocks they are read. Either the
hash alone decides, so that no example moves when others are added, or its rank among all, so that the shares are exact.
The test set depends on nothing else; the rest can be divided anew (data sampling variance, rule AD7). See the
playbook's "Determining whether to adopt a training pipeline change or hyperparameter configuration".
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from raytune_playbook.data.columns import Array, Columns, Rows
from raytune_playbook.errors import DataError, SpecError
from raytune_playbook.study.datasets import SPLITS
from raytune_playbook.study.splitmix64 import scrambled

Hashes: TypeAlias = npt.NDArray[np.uint64]
"""What each example is, of shape (num_examples,)."""

NUM_BITS = 64
BLOCK_EXAMPLES = 256
"""As many are turned into bytes at a time, which takes memory."""


def example_hashes(columns: Columns, key: Sequence[str] | None = None) -> Hashes:
    """What each example is, in 64 bits; the same on every machine and for every division into blocks.

    A blake2b hash of the columns' names and of the example's value in each, with its type and shape. 0.0 and -0.0 make
    equal examples, since they are equal numbers; so does NaN, whatever its bits, for an example equals its copy. One
    number in two types, such as 1 and 1.0, makes two examples.

    Args:
        columns: numbers, times, text, or objects that are such a value or an array; of shape (num_examples, ...).
        key: the columns that make an example what it is, in any order; None for all.

    Returns:
        An array of shape (num_examples,).

    Raises:
        SpecError: a column of the key does not exist.
        DataError: a column holds something else.
    """
    names = sorted(columns if key is None else set(key))
    absent = [name for name in names if name not in columns]
    if absent or not names:
        raise SpecError(
            f"Split.key: at least one of the columns {sorted(columns)} must be named, and no other, but got "
            f"{absent or names}; correct it."
        )
    start = json.dumps(names).encode()
    digests = bytearray()
    for first in range(0, len(columns[names[0]]), BLOCK_EXAMPLES):
        blocks = [_contents(name, columns[name][first : first + BLOCK_EXAMPLES]) for name in names]
        for example in zip(*blocks, strict=True):
            digests += hashlib.blake2b(start + b"".join(example), digest_size=NUM_BITS // 8).digest()
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _contents(name: str, values: Array) -> list[bytes]:
    """Type, shape and value of each example in a column; each says where it ends.

    Whether a block's examples happen to have one shape, and are an array, or are objects, makes no difference.
    """
    if values.dtype.kind in "OSU":
        return [_content(name, value) for value in values]
    if values.dtype.kind not in "biufmM" or values.dtype.itemsize > NUM_BITS // 8:  # long doubles have unused bytes
        raise _not_hashable(name, str(values.dtype))
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    if values.dtype.kind == "f":
        number = values.dtype.newbyteorder("=").type
        flat = np.where(np.isnan(flat), number(np.nan), np.where(flat == 0, number(0), flat))
    little_endian = values.dtype.newbyteorder("<")
    before = json.dumps([little_endian.str, values.shape[1:]]).encode()
    return [before + row.tobytes() for row in flat.astype(little_endian, copy=False)]


def _content(name: str, value: object) -> bytes:
    """The same of one text or object."""
    match value:
        case str():
            return _sized(b"s", len(text := value.encode("utf-8", "surrogatepass"))) + text
        case bytes():
            return _sized(b"b", len(value)) + value
        case None:
            return b"-"
    try:
        array = np.asarray(value)
    except ValueError:
        raise _not_hashable(name, "lists of lists of different lengths") from None
    if array.dtype.kind not in "OSU":
        return _contents(name, array[None])[0]
    if not array.ndim:
        raise _not_hashable(name, type(value).__name__)
    return _sized(b"a", len(array)) + b"".join(_content(name, item) for item in array)


def _sized(tag: bytes, size: int) -> bytes:
    return tag + size.to_bytes(NUM_BITS // 8, "little")


def _not_hashable(name: str, what: str) -> DataError:
    return DataError(
        f"Split: examples are told apart by numbers, times and text, but column {name!r} holds {what}; "
        "leave it out, or name the columns that count in Split(key=...)."
    )


@dataclass(frozen=True)
class Division:
    """Which example is in which split.

    Fields:
        number: of the division into train and validation, 0 or above; each is as good as drawn apart from all others.
        test_below: an example is in the test set if its hash, mixed for that, is below this number of up to 2^64. It is
            the same whatever ``number`` is (rule AD6).
        validation_below: the same of the validation set, to which no test example belongs.
    """

    number: int
    test_below: int
    validation_below: int

    def rows(self, hashes: Hashes) -> dict[str, Rows]:
        """Per split, the numbers of its examples in ascending order; none where no example fell into it."""
        in_test = _below(_mixed_for_test(hashes), self.test_below)
        in_validation = _below(_mixed_for_validation(hashes, self.number), self.validation_below) & ~in_test
        chosen = {"train": ~in_test & ~in_validation, "validation": in_validation, "test": in_test}
        return {split: np.flatnonzero(chosen[split]) for split in SPLITS}


def division_by_hash(fractions: Mapping[str, float], number: int = 0) -> Division:
    """The division in which each example's hash alone decides; each split's share is binomial about its fraction.

    Args:
        fractions: of ``train``, ``validation`` and ``test``, as `raytune_playbook.study.datasets.Split` has checked.
    """
    # Fractions of a floating-point number are exact, so that no rounding decides about an example.
    train, validation, test = (Fraction(fractions[split]) for split in SPLITS)
    return Division(number, int(test * 2**NUM_BITS), int(validation / (train + validation) * 2**NUM_BITS))


def exact_division(hashes: Hashes, fractions: Mapping[str, float], number: int = 0) -> Division:
    """The division by rank of the mixed hash, whose shares come as near to their fractions as equal examples allow.

    Args:
        hashes: of all examples, (num_examples,).
        fractions: as for `division_by_hash`.
    """
    mixed = _mixed_for_test(hashes)
    test_below = _bound(mixed, len(hashes) * fractions["test"])
    rest = hashes[~_below(mixed, test_below)]
    return Division(
        number, test_below, _bound(_mixed_for_validation(rest, number), len(hashes) * fractions["validation"])
    )


def _bound(mixed: Hashes, wanted: float) -> int:
    """The number below which there are as near to ``wanted`` of the mixed hashes as can be."""
    values, counts = np.unique(mixed, return_counts=True)
    num_below = np.concatenate([[0], np.cumsum(counts)])
    nearest = int(np.abs(num_below - wanted).argmin())
    return int(values[nearest]) if nearest < len(values) else 2**NUM_BITS


def _below(mixed: Hashes, bound: int) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = mixed < np.uint64(bound) if bound < 2**NUM_BITS else np.ones(len(mixed), bool)
    return found


def _mixed_for_test(hashes: Hashes) -> Hashes:
    return _mixed(hashes, "test")


def _mixed_for_validation(hashes: Hashes, number: int) -> Hashes:
    return _mixed(hashes, f"validation/{number}")


def _mixed(hashes: Hashes, name: str) -> Hashes:
    """Hashes mixed with a name as splitmix64 does: different ones stay so, in an order of the name's own."""
    offset = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=NUM_BITS // 8).digest(), "little")
    return scrambled(hashes + np.uint64(offset))


@dataclass(frozen=True)
class Overlap:
    """Two splits that hold equal examples.

    Fields:
        split_a, split_b: the smaller and the larger one.
        num_examples: how many examples of the smaller occur in the larger too, each counted as often as it occurs.
        num_examples_a: how many examples the smaller has.
    """

    split_a: str
    split_b: str
    num_examples: int
    num_examples_a: int

    @property
    def sentence(self) -> str:
        """What is wrong, why it matters and what to do, in a line."""
        judged = "test" if "test" in (self.split_a, self.split_b) else "validation"
        why = (
            f"the {judged} error flatters a model that memorizes"
            if "train" in (self.split_a, self.split_b)
            else "the test error flatters what was chosen by the validation error"
        )
        return (
            f"Splits must not overlap, but {self.split_b} holds {self.num_examples} of the {self.num_examples_a} "
            f"{self.split_a} examples, so {why}; remove them from one of the two, or let a Split divide the examples, "
            "which puts equal ones in one split."
        )


def overlaps(hashes: Mapping[str, Hashes]) -> list[Overlap]:
    """The pairs of splits that hold equal examples (rule IN10).

    Two different examples have the same hash once in 10^19 pairs. See the playbook's "Setting up periodic evaluations":
    such an overlap shows as periodicity in validation and test metrics.

    Args:
        hashes: per split, those of its examples by the same columns, (num_examples,); a split may be left out.
    """
    found = []
    for pair in itertools.combinations([split for split in SPLITS if split in hashes], 2):
        larger, smaller = sorted(pair, key=lambda split: -len(hashes[split]))
        num_shared = int(np.isin(hashes[smaller], hashes[larger]).sum())
        if num_shared:
            found.append(Overlap(smaller, larger, num_shared, len(hashes[smaller])))
    return found
