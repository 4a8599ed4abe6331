"""Configurations: what a launch changes, and the path from one to another, a change at a time (rule AD5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.study.hyperparameters.known import OPTIMIZERS, purpose_of
from raytune_playbook.study.round import Round
from raytune_playbook.study.wording import value_text

NUM_STEPS = "max_train_steps"
"""Of a configuration's length, beside the names of its hyperparameters."""

_LEADERS: dict[str, frozenset[str]] = {
    "optimizer": frozenset(name for uses in OPTIMIZERS.values() for name in uses),
    "schedule": frozenset({"decay_steps", "final_factor"}),
    "averaging": frozenset({"averaging_decay", "averaging_start_step"}),
}
"""What has no meaning of its own when these change: they change together."""

_ORDER = ("architecture", "batch size", "optimizer choice", "optimizer", "other", "regularization")
"""In which changes are made, by their purpose: what others are tuned for comes first."""


@dataclass(frozen=True)
class Configuration:
    """All that decides how a model is trained, but for its seeds.

    Fields:
        values: of every hyperparameter of the workload.
    """

    values: Mapping[str, Value]
    max_train_steps: int
    evaluation_interval_steps: int

    def value(self, name: str) -> Value:
        """Of a hyperparameter, or of its length."""
        return self.max_train_steps if name == NUM_STEPS else self.values.get(name)


@dataclass(frozen=True)
class Change:
    """What changes together from one configuration to another: one hyperparameter, or an optimizer with its own."""

    names: tuple[str, ...]
    was: tuple[Value, ...]
    now: tuple[Value, ...]

    @property
    def text(self) -> str:
        """In a line: ``learning_rate: 0.1 -> 0.03``."""
        return ", ".join(
            f"{name}: {value_text(was)} -> {value_text(now)}"
            for name, was, now in zip(self.names, self.was, self.now, strict=True)
        )


def changes(was: Configuration, now: Configuration) -> list[Change]:
    """What differs, in the order in which the path makes the changes."""
    names = sorted(name for name in was.values.keys() | now.values.keys() if was.value(name) != now.value(name))
    groups: list[list[str]] = []
    for leader, followers in _LEADERS.items():
        if leader in names:
            groups.append([leader, *(name for name in names if name in followers)])
            names = [name for name in names if name not in groups[-1]]
    groups += [[name] for name in names]
    groups.sort(key=lambda group: (_ORDER.index(purpose_of(group[0])), group[0]))
    if was.max_train_steps != now.max_train_steps:
        groups.insert(0, [NUM_STEPS])
    return [
        Change(tuple(group), tuple(was.value(name) for name in group), tuple(now.value(name) for name in group))
        for group in groups
    ]


def path(was: Configuration, now: Configuration) -> list[Configuration]:
    """From one configuration to the other with one change more each; both ends included."""
    found = [was]
    for change in changes(was, now):
        if change.names == (NUM_STEPS,):
            length = now.max_train_steps, now.evaluation_interval_steps
            found.append(replace(was, max_train_steps=length[0], evaluation_interval_steps=length[1]))
            continue
        values = {**found[-1].values, **dict(zip(change.names, change.now, strict=True))}
        found.append(replace(found[-1], values={name: values[name] for name in values if name in now.values}))
    return found


def configuration_of(round_: Round, values: Mapping[str, Value]) -> Configuration:
    """Of one of a round's trials, by all of its values."""
    budget = round_.budget
    own = {name: values[name] for name in sorted(round_.defaults)}
    return Configuration(own, budget.max_train_steps, budget.evaluation_interval_steps)


def initial_configuration(round_: Round) -> Configuration:
    """What a round started from: what it fixed, and the workload's defaults of what it varied."""
    return configuration_of(round_, round_.defaults | round_.fixed)


def round_of(
    round_: Round, configuration: Configuration, goal: str, scientific: Mapping[str, Hyperparameter] | None = None
) -> Round:
    """A round that trains one configuration of another round's workload, under the same objective and resources.

    Args:
        scientific: hyperparameters whose every value it is trained with; none for one trial.
    """
    compared = dict(scientific or {})
    fixed = {
        name: value
        for name, value in configuration.values.items()
        if name not in compared and name != _LISTED and name in round_.defaults
    }
    num_trials = 1
    for hyperparameter in compared.values():
        num_trials *= hyperparameter.num_values or 1
    budget = {
        "num_trials": num_trials,
        "max_train_steps": configuration.max_train_steps,
        "evaluation_interval_steps": configuration.evaluation_interval_steps,
        "checkpoint_interval_steps": None,
        "wall_clock_s": None,
    }
    return round_.model_copy(
        update={
            "goal": goal,
            "scientific": compared,
            "nuisance": {},
            "configurations": ({_LISTED: configuration.values[_LISTED]},),
            "search": "halton",
            "fixed": {name: value for name, value in fixed.items() if value != round_.defaults[name]},
            "reasons": {},
            "budget": round_.budget.model_copy(update=budget),
            "notes": "",
        }
    )


_LISTED = "learning_rate"
"""A round of one configuration lists one hyperparameter, which every workload has and every training reads."""
