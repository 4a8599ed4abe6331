"""Search spaces: which hyperparameters exist beside which scientific values, and how many points there are.

A hyperparameter with a condition (`when`) exists only under some scientific values; two of the same short name under
different values, such as ``adam.learning_rate`` and ``nesterov.learning_rate``, are different hyperparameters (the
playbook's "Identifying scientific, nuisance, and fixed hyperparameters", rule SD5).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import (
    Categorical,
    Discrete,
    Hyperparameter,
    Int,
    finite_values,
)
from raytune_playbook.study.hyperparameters.known import last_part

Space: TypeAlias = Mapping[str, Hyperparameter]

MAX_SMALL = 4096
"""A finite space of at most so many points is searched without repeating one."""

MAX_SCIENTIFIC_INTS = 1000
"""An `Int` with more values is sampled like a continuous hyperparameter; with fewer, its values make arms."""


def active(space: Space, values: Mapping[str, Value]) -> dict[str, Hyperparameter]:
    """The hyperparameters that exist beside these scientific values, in the space's order."""
    return {name: hyperparameter for name, hyperparameter in space.items() if hyperparameter.is_active(values)}


def num_points(space: Space) -> int | None:
    """How many points a space has; None where they are too many to count on: a continuous range, or over `MAX_SMALL`.

    No hyperparameter at all makes one point.
    """
    total = 1
    for hyperparameter in space.values():
        if hyperparameter.num_values is None:
            return None
        total *= hyperparameter.num_values
    return total if total <= MAX_SMALL else None


def arm_values(hyperparameter: Hyperparameter) -> tuple[Value, ...] | None:
    """The values of a scientific hyperparameter that are compared one by one; None where they are too many."""
    if isinstance(hyperparameter, Int) and hyperparameter.num_values > MAX_SCIENTIFIC_INTS:
        return None
    return finite_values(hyperparameter)


def num_combinations(scientific: Space) -> int:
    """How many arms there can be at most, without making them."""
    values_of_each = map(arm_values, scientific.values())
    return math.prod(len(values) for values in values_of_each if values is not None)


def arms(scientific: Space) -> list[dict[str, Value]]:
    """Every combination of scientific values; one that does not exist beside the others is None there.

    Returns:
        A single empty dict where nothing is compared one by one.
    """
    choices = {name: values for name in sorted(scientific) if (values := arm_values(scientific[name])) is not None}
    order = [name for name in conditions_first(scientific) if name in choices]
    found: dict[tuple[Value, ...], dict[str, Value]] = {}
    for combination in itertools.product(*choices.values()):
        arm = dict(zip(choices, combination, strict=True))
        for name in order:
            if not scientific[name].is_active(arm):
                arm[name] = None
        # With their types, since True and 1 are equal keys.
        found.setdefault(tuple(f"{type(value).__name__} {value}" for value in arm.values()), arm)
    return list(found.values())


def listed(configurations: Sequence[Mapping[str, Value]]) -> dict[str, Hyperparameter]:
    """The space that an explicit list of configurations spans: each hyperparameter with the values that it takes."""
    space: dict[str, Hyperparameter] = {}
    for name in sorted(configurations[0]):
        values = list(dict.fromkeys(configuration[name] for configuration in configurations))
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        space[name] = Discrete(sorted(numbers)) if len(numbers) == len(values) else Categorical(values)
    return space


def grid_shape(space: Space, num_trials: int) -> tuple[int, ...]:
    """How many values of each of one or two hyperparameters make the largest even grid of at most ``num_trials``."""
    limits = [hyperparameter.num_values for hyperparameter in space.values()]
    most = [num_trials if limit is None else min(num_trials, limit) for limit in limits]
    if len(most) != 2:
        return tuple(most)
    side = math.isqrt(num_trials)
    first, second = most
    if first <= side:
        return first, min(second, num_trials // first)
    if second <= side:
        return min(first, num_trials // second), second
    return side, side


def conditions_first(scientific: Space) -> list[str]:
    """The names in an order in which each stands after those that its condition names.

    Raises:
        SpecError: conditions depend on each other in a circle.
    """
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise SpecError(f"when: conditions must not depend on each other in a circle, but {circle} do; drop one.")
        if name in order:
            return
        for other in sorted(scientific[name].when):
            if other in scientific:
                visit(other, (*path, name))
        order.append(name)

    for name in sorted(scientific):
        visit(name, ())
    return order


def setting(names: Iterable[str], known: Mapping[str, Value]) -> dict[str, str]:
    """Which of the workload's hyperparameters a qualified one sets: ``adam.learning_rate`` sets ``learning_rate``."""
    return {name: last_part(name) for name in names if name not in known and last_part(name) in known}
