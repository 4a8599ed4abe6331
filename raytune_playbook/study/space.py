"""Search spaces: which hyperparameters exist beside which scientific values, and how many points there are.

A hyperparameter with a condition (`when`) exists only under some scientific values; two of the same short name under
different values, such as ``adam.learning_rate`` and ``nesterov.learning_rate``, are different hyperparameters (the
playbook's "Identifying scientific, nuisance, and fixed hyperparameters", rule SD5).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameter import Categorical, Discrete, Hyperparameter, Int, finite_values, is_same
from raytune_playbook.study.known_hyperparameters import last_part

Space = Mapping[str, Hyperparameter]

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
    order = [name for name in _conditions_first(scientific) if name in choices]
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


def grid_shape(space: Mapping[str, Hyperparameter], num_trials: int) -> tuple[int, ...]:
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


def _conditions_first(scientific: Space) -> list[str]:
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


def refuse_conditions(scientific: Space, nuisance: Space) -> None:
    """Refuse conditions that can never be judged.

    Raises:
        SpecError: a condition on a hyperparameter that is not scientific, on a value that it never takes, or a circle.
    """
    _conditions_first(scientific)
    for owner, hyperparameter in [*scientific.items(), *nuisance.items()]:
        for name, wanted in hyperparameter.when.items():
            if name not in scientific:
                among = ", ".join(sorted(scientific)) or "none"
                raise SpecError(
                    f"{owner}: `when` names a scientific hyperparameter of the round, but got {name!r}, and those are "
                    f"{among}; make it scientific, or drop the condition."
                )
            values = arm_values(scientific[name])
            if values is None or not wanted or not all(_is_in(value, values) for value in wanted):
                has = "a continuous range" if values is None else f"only {list(values)}"
                raise SpecError(
                    f"{owner}: `when` names values that {name} takes, but got {list(wanted)!r}, and {name} has {has}; "
                    "name values of it."
                )


def refuse_configurations(configurations: Sequence[Mapping[str, Value]], nuisance: Space, search: str) -> None:
    """Refuse a list of configurations that is none.

    Raises:
        SpecError: it stands beside a search, or its configurations do not give the same names, or one stands twice.
    """
    if not configurations:
        return
    if nuisance or search != "halton":
        raise SpecError(
            "Round.configurations: a list of configurations takes the place of a search, but the round also has "
            f"{'nuisance hyperparameters' if nuisance else f'search={search!r}'}; drop one of the two."
        )
    first = configurations[0]
    for place, configuration in enumerate(configurations):
        if configuration.keys() != first.keys() or not first:
            raise SpecError(
                "Round.configurations: each must give the same hyperparameters, but number 0 gives "
                f"{sorted(first)} and number {place} {sorted(configuration)}; complete them."
            )
        if configuration in configurations[:place]:
            raise SpecError(
                f"Round.configurations: each must differ from the others, but {dict(configuration)} stands twice; "
                "name each once."
            )


def refuse_two_settings(space: Space, arms_: Iterable[Mapping[str, Value]], sets: Mapping[str, str]) -> None:
    """Under each scientific value a hyperparameter of the workload is set once.

    Raises:
        SpecError: two hyperparameters that set the same one exist beside each other.
    """
    for arm in arms_:
        here = [*active(space, arm), *(name for name, value in arm.items() if value is not None)]
        targets = [sets.get(name, name) for name in here]
        if twice := next((target for target in targets if targets.count(target) > 1), None):
            both = " and ".join(name for name, target in zip(here, targets, strict=True) if target == twice)
            raise SpecError(
                f"Round: a hyperparameter has one value in a trial, but {both} set {twice!r} under "
                f"{dict(arm) or 'all values'}; give them conditions that exclude each other."
            )


def setting(names: Iterable[str], known: Mapping[str, Value]) -> dict[str, str]:
    """Which of the workload's hyperparameters a qualified one sets: ``adam.learning_rate`` sets ``learning_rate``."""
    return {name: last_part(name) for name in names if name not in known and last_part(name) in known}


def _is_in(value: Value, values: Iterable[Value]) -> bool:
    return any(is_same(value, other) for other in values)
