"""From an index to a point of a search space: by the Halton sequence, or one of its substitutes.

Every function depends on its arguments alone. A small finite space is searched without repeating a point: its n-th
point is the n-th *different* one of the sequence, so that more trials never change the earlier ones (rule QR4).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from raytune_playbook.errors import SpaceError
from raytune_playbook.search import halton
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter, Unit
from raytune_playbook.study.hyperparameters.space import Space, num_points
from raytune_playbook.study.study import Search


def point_of(space: Space, search: Search, seed: int, index: int, start: int = 0) -> dict[str, Value]:
    """The value of every hyperparameter at one index of a Halton or pseudo-random sequence, in the space's order.

    Args:
        start: where in the sequence index 0 is.

    Raises:
        SpaceError: the space has no point of this index.
    """
    size = num_points(space)
    if size is None:
        return _values(space, search, seed, start + index)
    if index >= size:
        raise SpaceError(f"A finite space of {size} point(s) has no point {index}; ask for fewer trials.")
    return _different_points(_Finite(space, search, seed, start)).at(index)


def at_units(space: Space, units: Iterable[Unit]) -> dict[str, Value]:
    """The value of every hyperparameter at a point of the unit cube."""
    dims = zip(space.items(), units, strict=True)
    return {name: hyperparameter.from_unit(unit) for (name, hyperparameter), unit in dims}


def grid_point(space: Space, shape: tuple[int, ...], index: int) -> dict[str, Value]:
    """One point of an even grid, the last hyperparameter varying fastest; ranges include both ends (rule QR7)."""
    places = []
    for size in reversed(shape):
        index, place = divmod(index, size)
        places.append((place, size))
    dims = zip(space.values(), reversed(places), strict=True)
    return at_units(space, [_grid_unit(hyperparameter, *place) for hyperparameter, place in dims])


class Turn(NamedTuple):
    """Which arm of a joint study a trial belongs to, and which of the arm's trials it is."""

    arm: int
    index_in_arm: int


def arm_at(index: int, num_points_of_arms: list[int | None], seed: int) -> Turn:
    """Which arm of a joint study a trial belongs to, and its index within that arm (rule SD6).

    Trials come in blocks in which every arm stands once, in a shuffled order: at every prefix the arms' counts differ
    by at most one. An arm all of whose points were tried is left out of later blocks.

    Args:
        index: of the trial.
        num_points_of_arms: how many points each arm has; None for no limit.
        seed: of the study.
    """
    first, block = 0, 0  # the first trial of a block, and its number
    arms = list(range(len(num_points_of_arms)))
    while True:
        limits = [limit for arm in arms if (limit := num_points_of_arms[arm]) is not None]
        next_change = min(limits, default=None)
        num_blocks = None if next_change is None else next_change - block
        if num_blocks is None or index < first + num_blocks * len(arms):
            turn, place = divmod(index - first, len(arms))
            order = sorted(arms, key=lambda arm: _hash("arms", seed, block + turn, arm))
            return Turn(order[place], block + turn)
        first, block = first + num_blocks * len(arms), block + num_blocks
        arms = [arm for arm in arms if num_points_of_arms[arm] is None or (num_points_of_arms[arm] or 0) > block]
        if not arms:
            raise SpaceError(f"A joint study of {first} point(s) has no point {index}; ask for fewer trials.")


def arm_start(arm: int, seed: int) -> int:
    """Where in the sequence an arm of a joint study begins.

    Any stretch of a Halton sequence fills the space evenly. With one of its own, an arm's few points differ from those
    of the others, so that all arms together try many values of a nuisance hyperparameter, and not the same few.
    """
    return _hash("start", seed, arm) >> 24


def _values(space: Space, search: Search, seed: int, index: int) -> dict[str, Value]:
    return at_units(space, _UNITS[search](space, seed, index))


def _halton_units(space: Space, seed: int, index: int) -> list[Unit]:
    """Exact coordinates where they decide between few values, floating-point ones elsewhere."""
    floats = halton.point(index, len(space), seed)
    is_continuous = [hyperparameter.num_values is None for hyperparameter in space.values()]
    if all(is_continuous):
        return [float(unit) for unit in floats]
    exact = halton.fractions(index, len(space), seed)
    return [float(f) if continuous else e for continuous, f, e in zip(is_continuous, floats, exact, strict=True)]


def _random_units(space: Space, seed: int, index: int) -> list[Unit]:
    """Uniform pseudo-random coordinates (rule QR7), each of the hyperparameter's name and the index alone."""
    return [(_hash("random", seed, name, index) >> 11) * 2.0**-53 for name in space]


_UNITS: dict[Search, Callable[[Space, int, int], list[Unit]]] = {"halton": _halton_units, "random": _random_units}
"""Of the searches whose points have a place in a sequence; a grid's are counted out."""


def _grid_unit(hyperparameter: Hyperparameter, place: int, size: int) -> Unit:
    if hyperparameter.num_values == size:
        return Fraction(2 * place + 1, 2 * size)  # the middle of its bin: each value once
    return Fraction(place, size - 1) if size > 1 else Fraction(1, 2)


class _Finite:
    """A small finite space under a search, equal to another of the same content: a key of the cache."""

    def __init__(self, space: Space, search: Search, seed: int, start: int) -> None:
        self.space, self.search, self.seed, self.start = dict(space), search, seed, start
        hyperparameters = [[name, hyperparameter.model_dump(mode="json")] for name, hyperparameter in space.items()]
        self._key = json.dumps([hyperparameters, search, seed, start])

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Finite) and other._key == self._key


class _DifferentPoints:
    """The points of a small finite space in the order in which a sequence first reaches them; threads may share it."""

    def __init__(self, finite: _Finite) -> None:
        self._finite = finite
        self._growing = threading.Lock()
        self._found: dict[str, dict[str, Value]] = {}
        self._next = finite.start

    def at(self, index: int) -> dict[str, Value]:
        finite = self._finite
        with self._growing:
            while len(self._found) <= index:  # it ends: a sequence that fills the cube reaches every cell of it
                values = _values(finite.space, finite.search, finite.seed, self._next)
                self._found.setdefault(json.dumps(values), values)
                self._next += 1
            return dict(list(self._found.values())[index])


@lru_cache(maxsize=64)
def _different_points(finite: _Finite) -> _DifferentPoints:
    return _DifferentPoints(finite)


def _hash(*parts: str | int) -> int:
    """64 hashed bits, the same on every machine."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
