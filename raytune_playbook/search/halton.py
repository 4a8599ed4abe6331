"""Scrambled Halton points: the quasi-random sequence that fills a search space evenly.

The Deep Learning Tuning Playbook ("Why use quasi-random search instead of more sophisticated black box optimization
algorithms during the exploration phase of tuning?") asks for "randomly shifted low-discrepancy sequences": a
"jittered, shuffled grid search" that is non-adaptive and statistically reproducible. These are such points:

* Dimension ``j`` writes the point's index in the ``j``-th prime base, permutes every digit, and mirrors the digits
  about the radix point (Halton 1960), with a permutation of its own for every digit position (Owen 2017, "A randomized
  Halton algorithm in R").
* A point depends on ``(seed, dimension, index)`` alone: not on how many points or dimensions were asked for, in which
  order, or by which process.
* Which permutations a seed owns is a choice among hashed candidates, made once: see `_tables`. Any permutations make a
  Halton sequence, so the choice only decides how even its first points are.

Every number is the outcome of integer arithmetic (unsigned 64-bit integers wrap alike everywhere) and of one exact
conversion to float, so that the bits are the same on every machine and with every version of numpy.
"""

from __future__ import annotations

import operator
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from raytune_playbook.errors import SpaceError
from raytune_playbook.study.splitmix64 import GOLDEN, scrambled

__all__ = ["MAX_DIMS", "MAX_INDEX", "MAX_SEED", "fractions", "point", "points"]

MAX_DIMS = 500
MAX_INDEX = 2**63 - 1
MAX_SEED = 2**64 - 1

_U64 = npt.NDArray[np.uint64]
_I64 = npt.NDArray[np.int64]

_MASK = 2**64 - 1

# The choice of the permutations: over how many points, at which budgets, among how many.
_HORIZON = 128
_BUDGETS = (20, 35, 50, 70, 100, 128)
_CANDIDATE_DIGITS = 6

# Fixed point for the choice: coordinates and kernels are integers in units of 2^-12.
_FRACTION_BITS = 12
_ONE = 2**_FRACTION_BITS


def points(num_points: int, num_dims: int, seed: int, start: int = 0) -> npt.NDArray[np.float64]:
    """Returns the scrambled Halton points with the indices ``start`` to ``start + num_points - 1``.

    Args:
        num_points: How many points; 0 gives an empty array.
        num_dims: How many coordinates each point has, 0 to `MAX_DIMS`.
        seed: Which scramble, 0 to `MAX_SEED`.
        start: The index of the first point, 0 or more.

    Returns:
        Coordinates in [0, 1), each a multiple of 2^-53, with shape ``(num_points, num_dims)``.

    Raises:
        SpaceError: An argument is not an integer or is out of its range.
    """
    num_points = _checked("num_points", num_points, MAX_INDEX)
    num_dims = _checked("num_dims", num_dims, MAX_DIMS)
    seed = _checked("seed", seed, MAX_SEED)
    start = _checked("start", start, MAX_INDEX)
    _checked("start + num_points", start + num_points, MAX_INDEX)
    indices = np.arange(start, start + num_points, dtype=np.int64)
    coordinates = np.empty((num_points, num_dims), dtype=np.float64)
    for dim, table in enumerate(_tables(seed, num_dims)):
        # The top 53 bits: all that a float64 below 1 holds without rounding, hence never rounded up to 1.
        coordinates[:, dim] = (_radical_inverse(indices, table) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return coordinates


def point(index: int, num_dims: int, seed: int) -> npt.NDArray[np.float64]:
    """Returns the scrambled Halton point with one index, at a cost that does not depend on the index.

    Args:
        index: The point's index, 0 or more.
        num_dims: How many coordinates the point has, 0 to `MAX_DIMS`.
        seed: Which scramble, 0 to `MAX_SEED`.

    Returns:
        ``points(1, num_dims, seed, start=index)[0]``, with shape ``(num_dims,)``.

    Raises:
        SpaceError: An argument is not an integer or is out of its range.
    """
    row: npt.NDArray[np.float64] = points(1, num_dims, seed, start=_checked("index", index, MAX_INDEX - 1))[0]
    return row


def fractions(index: int, num_dims: int, seed: int) -> list[Fraction]:
    """Returns the exact coordinates of the point with one index, of which `point` gives the top 53 bits.

    They decide between few values without rounding: a coordinate's first digits are integers, and
    ``floor(fraction * num_values)`` is a division of integers.

    Args:
        index: The point's index, 0 or more.
        num_dims: How many coordinates the point has, 0 to `MAX_DIMS`.
        seed: Which scramble, 0 to `MAX_SEED`.

    Returns:
        Fractions in [0, 1), ``num_dims`` of them.

    Raises:
        SpaceError: An argument is not an integer or is out of its range.
    """
    index = _checked("index", index, MAX_INDEX - 1)
    num_dims = _checked("num_dims", num_dims, MAX_DIMS)
    coordinates = []
    for permutations in _permutations(_checked("seed", seed, MAX_SEED), num_dims):
        base, rest, mirrored = permutations.shape[1], index, 0
        for permutation in permutations:
            rest, digit = divmod(rest, base)
            mirrored = mirrored * base + int(permutation[digit])
        coordinates.append(Fraction(mirrored, base ** len(permutations)))
    return coordinates


def _checked(name: str, value: int, largest: int) -> int:
    """Returns the value as a plain int if it is an integer from 0 to ``largest``, else raises a SpaceError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not 0 <= number <= largest:
        raise SpaceError(
            f"{name} of a quasi-random sequence must be an integer from 0 to {largest}, but it is {value!r}: "
            f"pass an integer in that range."
        )
    return number


def _radical_inverse(indices: _I64, table: _U64) -> _U64:
    """Mirrors the permuted digits of the indices about the radix point, in units of 2^-64.

    Every digit position is looked up, leading zeros too (their permuted values are not zero), so that the cost is the
    same for every index.

    Args:
        indices: Indices, with shape ``(num_points,)``.
        table: A digit's contribution by position and digit, with shape ``(num_positions, base)``.

    Returns:
        The mirrored numbers, with shape ``(num_points,)``.
    """
    base = table.shape[1]
    total = np.zeros(indices.shape, dtype=np.uint64)
    rest = indices
    for contribution in table:
        quotient = rest // base
        total += contribution[rest - quotient * base]
        rest = quotient
    return total


@lru_cache(maxsize=16)
def _tables(seed: int, num_dims: int) -> tuple[_U64, ...]:
    """Returns what each digit adds to the coordinate in units of 2^-64.

    Returns:
        By position, one read-only array for each dimension, with shape ``(num_positions, base)``; together 0.2 MB at 32
        dimensions, 40 MB at 500.
    """
    tables = []
    for base, permutations in zip(_primes(), _permutations(seed, num_dims), strict=False):
        tables.append(np.take_along_axis(_place_values(base), permutations, axis=1))
        tables[-1].flags.writeable = False
    return tuple(tables)


@lru_cache(maxsize=16)
def _permutations(seed: int, num_dims: int) -> tuple[_I64, ...]:
    """Chooses each dimension's digit permutations, given those of the dimensions before it.

    Independent random permutations leave the first points, those a tuning budget pays for, no more even than uniform
    random ones in large bases. So each dimension drafts several scrambles, digit by digit (`_improve`), and keeps the
    draft with the most even prefixes. "Even" is the centered discrepancy (Hickernell 1998) of the new coordinate and
    of its pairings with every earlier one. With ``z = x - 1/2``, its kernel's zero-mean part is ``k(x, y) =
    (z_x^2 + z_y^2 - |z_x - z_y|) / 2 + 1/12``; a product of two such kernels, summed over all pairs of points, is the
    discrepancy that belongs to two dimensions together. Summed over the earlier dimensions this is one matrix,
    ``pairing``. Its diagonal pairs each point with itself; there ``4 (z^2 - 1/12)`` takes the kernel's place, which is
    zero on average too, so that no point lies far from the centre in many dimensions at once, yet central values are
    not favoured (the kernel's own diagonal would favour them).

    All of it is integer arithmetic, below 2^57 at `MAX_DIMS`: no machine or order of summation can change a choice.

    Returns:
        By position, one read-only array for each dimension, with shape ``(num_positions, base)``.
    """
    weights = np.zeros((_HORIZON, _HORIZON), dtype=np.int64)
    for budget in _BUDGETS:
        weights[:budget, :budget] += _ONE // budget
    # Twice the sum of kernels, so that halves stay integers; a constant kernel of 1 stands for the new dimension alone.
    pairing = np.full((_HORIZON, _HORIZON), 2 * _ONE, dtype=np.int64)
    chosen = []
    for dim, base in enumerate(_primes()[:num_dims]):
        places = _place_values(base)
        drafts = np.stack([_hashed_permutations(seed, dim, draft, places.shape) for draft in range(_num_drafts(base))])
        z = _improve(drafts, places, pairing)
        best = int(np.argmin(_unevenness(z, pairing * weights)))
        pairing += _pair_kernel(z[best])
        chosen.append(drafts[best].copy())
        chosen[-1].flags.writeable = False
    return tuple(chosen)


def _num_drafts(base: int) -> int:
    """Returns how many drafts a dimension has: the fewer digits its first points choose, the more."""
    return 16 if base < _HORIZON // 2 else 4 if base < _HORIZON else 1


def _improve(drafts: _I64, places: _U64, pairing: _I64) -> _I64:
    """Chooses digits of all drafts, in place, in the order in which the sequence first uses them.

    A digit at position ``k`` first appears in the block of indices ``[digit * base^k, (digit + 1) * base^k)``. Each
    draft gives that digit the one, of its next few unused values, that keeps the block most even among the points
    before it. Values that were not taken remain for later digits, so every row stays a permutation.

    Args:
        drafts: Digit permutations, with shape ``(num_drafts, num_positions, base)``.
        places: The values of the digits, with shape ``(num_positions, base)``.
        pairing: Summed kernels of the earlier dimensions, with shape ``(_HORIZON, _HORIZON)``.

    Returns:
        The drafts' first coordinates less one half, in units of 2^-12, with shape ``(num_drafts, _HORIZON)``.
    """
    num_drafts, _, base = drafts.shape
    rows = np.arange(num_drafts)
    x = np.zeros((num_drafts, _HORIZON), dtype=np.uint64)
    for position in range(len(places)):
        x[:, 0] += places[position, drafts[:, position, 0]]
    z = _centred(x)
    position, block = 0, 1
    while block < _HORIZON:
        order = drafts[:, position]
        for digit in range(1, min(base, -(-_HORIZON // block))):
            low, high = digit * block, min((digit + 1) * block, _HORIZON)
            values = order[:, digit : digit + _CANDIDATE_DIGITS]
            shifts = places[position, values] - places[position, order[:, :1]]
            trials = x[:, None, : high - low] + shifts[:, :, None]
            chosen = np.argmin(_block_unevenness(_centred(trials), z[:, :low], pairing), axis=1)
            x[:, low:high] = trials[rows, chosen]
            z[:, low:high] = _centred(x[:, low:high])
            order[rows, digit + chosen], order[:, digit] = order[:, digit].copy(), order[rows, digit + chosen]
        position, block = position + 1, block * base
    return z


def _block_unevenness(trials: _I64, before: _I64, pairing: _I64) -> _I64:
    """Returns what each trial block adds to the unevenness of a prefix, less what all trials add alike.

    Args:
        trials: Trial coordinates of a block, with shape ``(num_drafts, num_trials, block)``.
        before: Coordinates of the points before the block, with shape ``(num_drafts, low)``.
        pairing: Summed kernels of the earlier dimensions, with shape ``(_HORIZON, _HORIZON)``.

    Returns:
        Integers with shape ``(num_drafts, num_trials)``. (Distances within a block are alike in all trials.)
    """
    low = before.shape[1]
    high = low + trials.shape[2]
    gaps = np.abs(trials[:, :, :, None] - before[:, None, None, :]).reshape(*trials.shape[:2], -1)
    outward: _I64 = _square(trials) @ pairing[low:high, :high].sum(axis=1)
    inward: _I64 = gaps @ pairing[low:high, :low].reshape(-1)
    return outward - inward


def _unevenness(z: _I64, weighted: _I64) -> _I64:
    """Returns each draft's unevenness summed over the budgets; from ``z``, ``(num_drafts, _HORIZON)``."""
    gaps = np.stack([np.sum(np.abs(row[:, None] - row) * weighted) for row in z])
    outward: _I64 = _square(z) @ weighted.sum(axis=1)
    total: _I64 = 2 * outward - gaps
    return total


def _pair_kernel(z: _I64) -> _I64:
    """Returns a dimension's part of ``pairing``: twice its kernel, with shape ``(_HORIZON, _HORIZON)``."""
    square = _square(z)
    kernel: _I64 = square[:, None] + square - np.abs(z[:, None] - z) + _ONE // 6
    np.fill_diagonal(kernel, 8 * square - 8 * _ONE // 12)
    return kernel


def _centred(x: _U64) -> _I64:
    """Returns coordinates in units of 2^-64 as distances from one half in units of 2^-12."""
    centred: _I64 = (x >> np.uint64(64 - _FRACTION_BITS)).astype(np.int64) - _ONE // 2
    return centred


def _square(z: _I64) -> _I64:
    """Returns the squares of fixed-point numbers, rounded down."""
    square: _I64 = (z * z) >> _FRACTION_BITS
    return square


@lru_cache(maxsize=1)
def _primes() -> tuple[int, ...]:
    """Returns the first `MAX_DIMS` primes, the bases of the dimensions, by trial division."""
    primes: list[int] = []
    number = 2
    while len(primes) < MAX_DIMS:
        if all(number % prime for prime in primes if prime * prime <= number):
            primes.append(number)
        number += 1
    return tuple(primes)


def _place_values(base: int) -> _U64:
    """Returns ``digit / base^(position + 1)`` in units of 2^-64, rounded down, with shape ``(num_positions, base)``.

    There are as many positions as 64 bits need. The largest digits of all positions add up to less than 2^64.
    """
    rows = []
    scale = base
    while scale < base << 64:
        rows.append([(digit << 64) // scale for digit in range(base)])
        scale *= base
    return np.array(rows, dtype=np.uint64)


def _hashed_permutations(seed: int, dim: int, draft: int, shape: tuple[int, ...]) -> _I64:
    """Returns hashed permutations of the digits, one for each position, with shape ``(num_positions, base)``."""
    key = 0
    for word in (seed, dim, draft):
        key = int(scrambled(np.array([(key + word + GOLDEN) & _MASK], dtype=np.uint64))[0])
    counters = np.arange(1, shape[0] * shape[1] + 1, dtype=np.uint64).reshape(shape)
    # A stable sort, so that equal hashes could not be ordered in two ways.
    return np.argsort(scrambled(counters * np.uint64(GOLDEN) + np.uint64(key)), axis=1, kind="stable")
