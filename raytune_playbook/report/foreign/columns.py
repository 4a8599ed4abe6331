"""Which of the recorded columns are hyperparameters that were varied, which are constant, and which are none at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.report.foreign.recorded import RecordedTrial
from raytune_playbook.report.foreign.roles import Roles
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.known import last_part
from raytune_playbook.study.wording import value_text

SEED_NAMES = ("seed", "random_seed", "random_state")

MAX_TEXTS = 20
"""More different texts than this, in more than half of the trials, name the trials: they are no choices."""

MIN_COUNTED = 5
"""Of so many trials at least, whole numbers that rise by one count them."""


@dataclass(frozen=True)
class Columns:
    """What the hyperparameters of the trials are.

    Fields:
        varied: that have different values, in their order, scientific ones included.
        constant: those that have one value everywhere.
        seeds: that set repeats of a point apart.
        notes: a sentence for whatever was inferred.
    """

    varied: tuple[str, ...]
    constant: Mapping[str, Value]
    seeds: tuple[str, ...]
    notes: tuple[str, ...]


def columns_of(trials: Sequence[RecordedTrial], names: Sequence[str], roles: Roles) -> Columns:
    """Tell the columns apart.

    Args:
        trials: those that count.
        names: of all columns.
        roles: what was said of them, which nothing inferred goes against.
    """
    said = {*roles.scientific, *roles.ranges}
    seeds = [*roles.seeds]
    varied: list[str] = []
    constant: dict[str, Value] = {}
    notes: list[str] = []
    for name in names:
        values = [trial.values[name] for trial in trials if name in trial.values]  # None is a value, if it is there
        distinct = {(isinstance(value, bool), value) for value in values}
        if name in (*roles.seeds, *roles.ignore, *roles.fixed):
            continue
        if len(distinct) <= 1 and name not in roles.scientific:
            constant[name] = values[0] if values else None
        elif name in said:
            varied.append(name)
        elif last_part(name.replace("/", ".")) in SEED_NAMES:
            seeds.append(name)
            notes.append(f"{name} is taken for a seed: trials that differ in nothing else are repeats of one point.")
        elif (why := _no_hyperparameter(values, len(distinct))) is not None:
            notes.append(f"{name} is left out: {why}. A range for it makes it a hyperparameter.")
        else:
            varied.append(name)
    if constant:
        listed = ", ".join(f"{name}={value_text(value)}" for name, value in constant.items())
        notes.append(f"What never changes is fixed: {listed}.")
    return Columns(tuple(varied), constant, tuple(seeds), tuple(notes))


def _no_hyperparameter(values: Sequence[Value], num_distinct: int) -> str | None:
    """Why a column is none that a search varied, or None where it may be one."""
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(numbers) == len(values) >= MIN_COUNTED and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return "it counts the trials"
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) * 2 > len(values) and num_distinct > max(MAX_TEXTS, len(values) / 2):
        return f"it has {num_distinct:,} different texts in {len(values):,} trials, so it names them"
    return None
