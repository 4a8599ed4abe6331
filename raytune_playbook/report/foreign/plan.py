"""What a round of other tools' trials is: what was varied, between which ends, and what the studies are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raytune_playbook.errors import SpecError
from raytune_playbook.report.foreign.columns import Columns, columns_of
from raytune_playbook.report.foreign.judging import Judgement, judgement_of
from raytune_playbook.report.foreign.ranges import inferred_range
from raytune_playbook.report.foreign.recorded import Recorded, RecordedTrial, State
from raytune_playbook.report.foreign.roles import Roles
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter
from raytune_playbook.study.hyperparameters.space import MAX_SCIENTIFIC_INTS
from raytune_playbook.study.round import MAX_STUDIES
from raytune_playbook.study.wording import range_text


@dataclass(frozen=True)
class Plan:
    """What the round of some trials is.

    Fields:
        recorded: the trials that count.
        roles: what was said of them.
        judgement: what they are judged by.
        columns: which hyperparameters were varied.
        space: what was searched of those, but for scientific values that are compared one by one.
        arms: the combinations of scientific values that were tried; one empty one where there are none.
        inferred: a sentence for whatever nobody said.
    """

    recorded: Recorded
    roles: Roles
    judgement: Judgement
    columns: Columns
    space: Mapping[str, Hyperparameter]
    arms: tuple[Mapping[str, Value], ...]
    inferred: tuple[str, ...]

    @property
    def is_joint(self) -> bool:
        """Whether the arms are too many for a study each (rule SD6)."""
        return len(self.arms) > MAX_STUDIES

    @property
    def fixed(self) -> dict[str, Value]:
        """The values that every trial has."""
        return {**self.columns.constant, **self.roles.fixed}

    def by_arm(self) -> list[tuple[Mapping[str, Value], tuple[RecordedTrial, ...]]]:
        """The trials under each combination of scientific values; all of them where one study holds all."""
        if self.is_joint:
            return [({}, self.recorded.trials)]
        names = tuple(self.arms[0])
        groups: dict[tuple[tuple[bool, Value], ...], list[RecordedTrial]] = {}
        for trial in self.recorded.trials:
            groups.setdefault(_identity(trial.values, names), []).append(trial)
        return [(arm, tuple(groups[_identity(arm, names)])) for arm in self.arms]


def plan_of(recorded: Recorded, roles: Roles) -> Plan:
    """Put together what was said, what was recorded, and what follows from the trials.

    Raises:
        SpecError: what was said does not fit the trials, or none of them has ended.
    """
    _require_ended(recorded)
    roles.require_known(recorded.names, recorded.origin)
    judgement = judgement_of(recorded, roles)
    recorded, notes = _with_fixed_values(recorded, roles)
    columns = columns_of(recorded.trials, recorded.names, roles)
    space, range_notes = _space(recorded, roles, columns)
    arms = _arms(recorded.trials, [name for name in roles.scientific if name not in space])
    inferred = (*recorded.notes, *notes, *judgement.notes, *columns.notes, *range_notes)
    return Plan(recorded, roles, judgement, columns, space, arms, inferred)


def _require_ended(recorded: Recorded) -> None:
    if not recorded.trials:
        raise SpecError(f"There must be trials to look at, but there are none {recorded.origin}; name another place.")
    if all(trial.state is State.UNFINISHED for trial in recorded.trials):
        raise SpecError(
            f"A trial must have ended before there is anything to say, but none of the {len(recorded.trials):,} trials "
            f"{recorded.origin} has; wait for one."
        )
    num_failed = sum(trial.state is State.FAILED for trial in recorded.trials)
    if num_failed and not recorded.metrics:
        raise SpecError(
            f"A trial must have reported something before there is anything to say, but none of the "
            f"{len(recorded.trials):,} trials {recorded.origin} has: {num_failed:,} failed; mend what made them fail."
        )


def _with_fixed_values(recorded: Recorded, roles: Roles) -> tuple[Recorded, list[str]]:
    """The trials that have the values that were said to be fixed; a value that no trial records fits all."""
    known = {name: value for name, value in roles.fixed.items() if name in recorded.names}
    if not known:
        return recorded, []
    kept = tuple(
        trial
        for trial in recorded.trials
        if all(str(trial.values.get(name)) == str(value) for name, value in known.items())
    )
    said = ", ".join(f"{name}={value}" for name, value in known.items())
    if not kept:
        name, value = next(iter(known.items()))
        there = list(dict.fromkeys(str(trial.values.get(name)) for trial in recorded.trials))
        raise SpecError(
            f"Some trials must have the values that are fixed, but none {recorded.origin} has {said}; of {name} they "
            f"have {', '.join(there[:10])}: {did_you_mean(str(value), there, 'name one of them.')}"
        )
    left_out = len(recorded.trials) - len(kept)
    notes = [f"Of all trials {left_out:,} with other values than {said} are left out."] if left_out else []
    return replace(recorded, trials=kept), notes


def _space(recorded: Recorded, roles: Roles, columns: Columns) -> tuple[dict[str, Hyperparameter], list[str]]:
    """What was searched of every hyperparameter that is not compared value by value."""
    space: dict[str, Hyperparameter] = {}
    inferred: list[str] = []
    for name in columns.varied:
        values = [trial.values.get(name) for trial in recorded.trials]
        if name in roles.ranges:
            space[name] = roles.ranges[name].hyperparameter()
        elif name in recorded.ranges:
            space[name] = recorded.ranges[name]
        elif name not in roles.scientific or _is_continuous(values):
            space[name] = inferred_range(values)
            inferred.append(f"{name} {range_text(space[name])}")
        if name in roles.scientific and not (name in space and _is_sampled(space[name], values)):
            space.pop(name, None)
    if not inferred:
        return space, []
    return space, [f"What was searched is taken from the values that were tried: {'; '.join(inferred)}."]


def _is_continuous(values: Sequence[Value]) -> bool:
    return len(set(values)) > MAX_STUDIES and any(isinstance(value, float) for value in values)


def _is_sampled(hyperparameter: Hyperparameter, values: Sequence[Value]) -> bool:
    """Whether a scientific hyperparameter has too many values to compare them one by one."""
    if isinstance(hyperparameter, Float):
        return True
    return len(set(values)) > MAX_SCIENTIFIC_INTS


def _arms(trials: Sequence[RecordedTrial], names: Sequence[str]) -> tuple[Mapping[str, Value], ...]:
    """The combinations of scientific values that were tried: numbers rising, others as they came."""
    found = {_identity(trial.values, names): {name: trial.values.get(name) for name in names} for trial in trials}
    arms = list(found.values())
    for name in reversed(names):
        values = [arm[name] for arm in arms]
        if all(isinstance(value, int | float) for value in values):
            arms.sort(key=lambda arm: float(arm[name] or 0))
    return tuple(arms)


def _identity(values: Mapping[str, Value], names: Sequence[str]) -> tuple[tuple[bool, Value], ...]:
    """The same for 1 as for 1.0, and another for True."""
    return tuple((isinstance(values.get(name), bool), values.get(name)) for name in names)


def points(trials: Sequence[RecordedTrial], varied: Sequence[str], metric: str) -> dict[int, tuple[int, int]]:
    """Of each trial the number of the point that it tried and which repeat it is, by its own number.

    A point that is tried again, with another seed or by a search that comes back to it, is a repeat of the first: as a
    trial of its own it would give its point more draws than the others have. One without a result is no first run, and
    where a value was not recorded nobody knows that it is the same.
    """
    known = {name for trial in trials for name in varied if trial.values.get(name) is not None}
    seen: dict[tuple[tuple[bool, Value], ...], list[int]] = {}
    found: dict[int, tuple[int, int]] = {}
    for trial in trials:
        is_missing = any(trial.values.get(name, "has none") is None for name in known)
        if is_missing or trial.state in (State.FAILED, State.UNFINISHED) or not trial.reports(metric):
            found[trial.number] = (trial.number, 0)
            continue
        same = seen.setdefault(_identity(trial.values, varied), [])
        found[trial.number] = (same[0] if same else trial.number, len(same))
        same.append(trial.number)
    return found
