"""The roles of a round's hyperparameters, and what a change of one of them does to all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Hyperparameter, is_same
from raytune_playbook.study.hyperparameters.known import last_part, purpose_of
from raytune_playbook.study.hyperparameters.space import arm_values, listed

_T = TypeVar("_T")


@dataclass(frozen=True)
class Roles:
    """What a round says of its hyperparameters, as the fields of `Round` have it.

    Fields:
        known: the workload's hyperparameters.
    """

    scientific: Mapping[str, Hyperparameter]
    nuisance: Mapping[str, Hyperparameter]
    configurations: tuple[Mapping[str, Value], ...]
    fixed: Mapping[str, Value]
    reasons: Mapping[str, str]
    known: frozenset[str]


# ---------------------------------------------------------------------- one change


def searched(roles: Roles, name: str, hyperparameter: Hyperparameter) -> Roles:
    """Another range or scale; what was fixed is nuisance by it, and the reason why it was fixed is none any more."""
    if name in roles.scientific:
        new = _conditioned(hyperparameter, roles.scientific[name])
        there = arm_values(new)
        return _without_values(replace(roles, scientific={**roles.scientific, name: new}), name, there)
    old = roles.nuisance.get(name)
    if old is None:
        roles = replace(_as_search(roles), reasons=_without(roles.reasons, name))
        old = roles.nuisance.get(name, hyperparameter)
    return replace(
        roles,
        nuisance={**roles.nuisance, name: _conditioned(hyperparameter, old)},
        fixed=_without(roles.fixed, name),
    )


def fixed(roles: Roles, name: str, value: Value, reason: str | None) -> Roles:
    """One value only; a hyperparameter of an optimizer has the reason for it, which a rule of thumb asks for."""
    if name in roles.scientific:
        conditioned = roles.scientific[name].when
        roles = replace(roles, scientific={**roles.scientific, name: _single(value, conditioned)})
        roles = _without_values(roles, name, (value,))
        if conditioned:
            return roles
        return replace(
            _unconditional(replace(roles, scientific=_without(roles.scientific, name)), name),
            fixed={**roles.fixed, name: value},
        )
    if name in roles.nuisance and roles.nuisance[name].when:  # where it exists, it has the one value
        return replace(roles, nuisance={**roles.nuisance, name: _single(value, roles.nuisance[name].when)})
    reasons = dict(roles.reasons)
    if name in roles.nuisance or any(name in configuration for configuration in roles.configurations):
        reasons.pop(name, None)
        if purpose_of(name) == "optimizer":  # a rule of thumb wants a reason for it
            reasons |= {} if reason is None else {name: reason}
    configurations: list[Mapping[str, Value]] = []
    for configuration in (_without(configuration, name) for configuration in roles.configurations):
        if configuration and configuration not in configurations:
            configurations.append(configuration)
    return replace(
        roles,
        nuisance=_without(roles.nuisance, name),
        configurations=tuple(configurations),
        fixed={**roles.fixed, name: value},
        reasons=reasons,
    )


def dropped(roles: Roles, name: str, values: tuple[Value, ...]) -> Roles:
    """Fewer values to compare; with one left there is nothing to compare, and it is fixed.

    Raises:
        SpecError: no values of it are compared.
    """
    there = arm_values(roles.scientific[name]) if name in roles.scientific else None
    if there is None:
        raise SpecError(f"Round.scientific: values of a comparison can be left out, but {name!r} compares none.")
    left = tuple(value for value in there if not any(is_same(value, other) for other in values))
    if len(left) == 1:
        return fixed(roles, name, left[0], None)
    when = roles.scientific[name].when
    is_categorical = isinstance(roles.scientific[name], Categorical)
    fewer = Categorical(left, when=when) if is_categorical else Discrete(_numbers(left), when=when)
    return _without_values(replace(roles, scientific={**roles.scientific, name: fewer}), name, left)


# ---------------------------------------------------------------------- what goes with a change


def _as_search(roles: Roles) -> Roles:
    """Listed configurations take the place of a search: a range beside them makes them one, over their values."""
    if not roles.configurations:
        return roles
    space = listed(roles.configurations)
    single = {name: roles.configurations[0][name] for name, each in space.items() if each.num_values == 1}
    nuisance = {name: each for name, each in space.items() if name not in single}
    return replace(roles, nuisance=nuisance, fixed={**roles.fixed, **single}, configurations=())


def _without_values(roles: Roles, name: str, left: tuple[Value, ...] | None) -> Roles:
    """Without what exists only under values of a scientific hyperparameter that are compared no longer."""
    if left is None:
        return roles

    def of(space: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
        found = {}
        for other, hyperparameter in space.items():
            wanted = hyperparameter.when.get(name)
            if wanted is None:
                found[other] = hyperparameter
            elif kept := tuple(value for value in wanted if any(is_same(value, there) for there in left)):
                found[other] = hyperparameter.model_copy(update={"when": {**hyperparameter.when, name: kept}})
        return found

    without = replace(roles, scientific=of(roles.scientific), nuisance=of(roles.nuisance))
    gone = {*roles.scientific, *roles.nuisance} - {*without.scientific, *without.nuisance}
    reasons = {other: reason for other, reason in roles.reasons.items() if other not in gone}
    without = replace(without, reasons=reasons)
    for other in sorted(gone & set(roles.scientific)):
        without = _without_values(without, other, ())
    return without


def _unconditional(roles: Roles, name: str) -> Roles:
    """Without conditions on a hyperparameter that is fixed by now: what depended on it always exists, and a qualified
    name, which is for what exists under some values only, is the workload's own."""
    renamed: dict[str, str] = {}

    def of(space: Mapping[str, Hyperparameter]) -> dict[str, Hyperparameter]:
        found = {}
        for other, hyperparameter in space.items():
            when = {key: values for key, values in hyperparameter.when.items() if key != name}
            if hyperparameter.when and not when and other not in roles.known:
                renamed[other] = last_part(other)
            found[renamed.get(other, other)] = hyperparameter.model_copy(update={"when": when})
        return found

    scientific, nuisance = of(roles.scientific), of(roles.nuisance)
    return replace(
        roles,
        scientific=scientific,
        nuisance=nuisance,
        fixed={other: value for other, value in roles.fixed.items() if other not in renamed.values()},
        reasons={renamed.get(other, other): reason for other, reason in roles.reasons.items()},
    )


def _conditioned(new: Hyperparameter, old: Hyperparameter) -> Hyperparameter:
    return new if new.when == old.when else new.model_copy(update={"when": old.when})


def _single(value: Value, when: Mapping[str, tuple[Value, ...]]) -> Hyperparameter:
    numbers = _numbers((value,))
    return Discrete(numbers, when=when) if numbers else Categorical((value,), when=when)


def _numbers(values: Iterable[Value]) -> list[int | float]:
    return [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]


def _without(fields: Mapping[str, _T], name: str) -> dict[str, _T]:
    return {key: value for key, value in fields.items() if key != name}
