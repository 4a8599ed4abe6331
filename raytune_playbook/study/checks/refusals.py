"""What a round must not be, each refusal in one sentence that names the rule and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from raytune_playbook.errors import SpecError
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import is_same
from raytune_playbook.study.hyperparameters.known import NUMBER_OF_STEPS, last_part, purpose_of
from raytune_playbook.study.hyperparameters.space import (
    Space,
    active,
    arm_values,
    conditions_first,
    num_combinations,
    setting,
)
from raytune_playbook.study.study import StudySpec

MAX_ARMS = 10_000
"""More combinations of scientific values than this are refused: sample a range of them instead."""


def refuse_names(
    scientific: Space, nuisance: Space, fixed: Mapping[str, Value], defaults: Mapping[str, Value], workload: str
) -> None:
    """Refuse names that say nothing to a workload, or too much.

    Args:
        scientific, nuisance, fixed: by name, as the round has them.
        defaults: the workload's hyperparameters.
        workload: what its class is called.

    Raises:
        SpecError: a name is none of the workload's, has two roles, or is the number of steps (rule SD11).
    """
    sets = setting([*scientific, *nuisance], defaults)
    conditional = {name for space in (scientific, nuisance) for name, given in space.items() if given.when}
    roles: dict[str, Iterable[str]] = {"scientific": scientific, "nuisance": nuisance, "fixed": fixed}
    owner: dict[str, str] = {}
    for role, names in roles.items():
        for name in names:
            if last_part(name) in NUMBER_OF_STEPS:
                raise SpecError(
                    f"Round.{role}: {name!r} must not be in a search space: a study that tunes the number of steps "
                    "always prefers more of them, so the playbook gives all trials one length; "
                    "set Budget(max_train_steps=...)."
                )
            if name in owner:
                raise SpecError(
                    f"Round: a hyperparameter has one role per round, but {name!r} is {owner[name]} and {role}; "
                    "drop one."
                )
            if name not in defaults and not (name in sets and name in conditional):
                raise SpecError(_unknown(name, role, name in sets, defaults, workload))
            owner[name] = role


def _unknown(name: str, role: str, is_qualified: bool, defaults: Mapping[str, Value], workload: str) -> str:
    """What to say of a name that the workload does not have."""
    if is_qualified:
        return (
            f"Round.{role}: a qualified name is for a hyperparameter that exists under some scientific "
            f"values only, but {name!r} has no `when`; give one, or call it {last_part(name)!r}."
        )
    hint = did_you_mean(name, defaults, f"it has {', '.join(sorted(defaults))}.")
    return f"Round.{role}: each name must be a hyperparameter of the workload, but {workload} has no {name!r}; {hint}"


def refuse_roles(scientific: Space, nuisance: Space) -> None:
    """Refuse what the playbook refuses of a hyperparameter's role.

    Raises:
        SpecError: the batch size is tuned (rule BA7), or more values are to be compared than anyone could.
    """
    for name in nuisance:
        if purpose_of(name) == "batch size":
            raise SpecError(
                f"Round.nuisance: {name!r} must not be a nuisance hyperparameter: with the others re-tuned, every "
                "batch size reaches the same validation performance, so the playbook chooses it by training time and "
                "does not tune it; fix it, or make it scientific for time or steps to target."
            )
    if (num_arms := num_combinations(scientific)) > MAX_ARMS:
        raise SpecError(
            f"Round.scientific: at most {MAX_ARMS:,} combinations of scientific values can be compared, but got "
            f"{num_arms:,}; narrow the goal to fewer values."
        )


def refuse_conditions(scientific: Space, nuisance: Space) -> None:
    """Refuse conditions that can never be judged.

    Raises:
        SpecError: a condition on a hyperparameter that is not scientific, on a value that it never takes, or a circle.
    """
    conditions_first(scientific)
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


def refuse_study_names(names: list[str]) -> None:
    """A study's name is a folder of its own in the storage.

    Raises:
        SpecError: one is no folder's name, or stands twice.
    """
    for name in names:
        if not name.isprintable() or "/" in name or "\\" in name:
            raise SpecError(
                "Round.scientific: a value names its study's folder and must not hold '/', '\\\\' or control "
                f"characters, but got {name!r}; rename it."
            )
        if names.count(name) > 1:
            raise SpecError(
                f"Round.scientific: each study needs a name of its own, but two would be called {name!r}; "
                "give values that differ when printed."
            )


def refuse_grid(studies: Sequence[StudySpec]) -> None:
    """Refuse studies that no grid serves (rule QR7).

    Raises:
        SpecError: one is a joint study, or has no dimension or more than two.
    """
    for study in studies:
        if study.arms:
            raise SpecError(
                f"Round.search: a joint study of {len(study.arms)} arms cannot be a grid; use search='halton'."
            )
        if not 1 <= len(study.space) <= 2:
            raise SpecError(
                "Round.search: a grid serves one or two dimensions, since its points repeat each value in all "
                f"others, but study {study.name!r} has {len(study.space)}; use search='halton'."
            )


def _is_in(value: Value, values: Iterable[Value]) -> bool:
    return any(is_same(value, other) for other in values)
