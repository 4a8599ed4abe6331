"""Trials as another tool has recorded them, before anybody says what is scientific and what they are judged by."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from raytune_playbook.analysis.series.curves import Curve
from raytune_playbook.errors import DataError
from raytune_playbook.study.frozen import Value, plain
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.study.settings import Goal, Over


class State(StrEnum):
    """How a trial stands, as its tool says."""

    ENDED = "ended"
    STOPPED_EARLY = "stopped early"
    """By a pruner or a scheduler; what it would have come to is not known (rule CK4)."""
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    UNFINISHED = "unfinished"


@dataclass(frozen=True)
class RecordedTrial:
    """One trial.

    Fields:
        number: the tool's own, from 0, by which the page names it.
        name: what the tool calls it, such as ``trial 17``.
        values: of its hyperparameters; None where it has none.
        metrics: the last that was reported of each, NaN and infinity included.
        curves: of the metrics that were reported more than once, against the step.
        reason: why it is infeasible or failed, where that is known.
        traceback: of one that failed.
        train_s: how long it took; None where that is not known.
        started_at: UTC, ISO 8601; empty where it is not known.
    """

    number: int
    name: str
    values: Mapping[str, Value]
    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    reason: str | None = None
    traceback: str | None = None
    train_s: float | None = None
    started_at: str = ""

    def reports(self, metric: str) -> bool:
        """Whether it has any value of a metric."""
        return metric in self.metrics or metric in self.curves


@dataclass(frozen=True)
class Recorded:
    """All trials of a study of another tool's.

    Fields:
        origin: where they stand, and by whom: ``recorded in optuna.db by Optuna``.
        name: names the round where nobody does.
        trials: in the order of their numbers.
        ranges: that were searched, of the hyperparameters of which the tool records them.
        objective, goal, over: what the tool judged them by, as far as it records that.
        notes: a sentence for whatever was decided in reading.
    """

    origin: str
    name: str
    trials: tuple[RecordedTrial, ...]
    ranges: Mapping[str, Hyperparameter] = field(default_factory=dict)
    objective: str | None = None
    goal: Goal | None = None
    over: Over | None = None
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters that any trial has, in their order."""
        return tuple(dict.fromkeys(name for trial in self.trials for name in trial.values))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that any trial reported, in their order."""
        return tuple(dict.fromkeys(name for trial in self.trials for name in (*trial.metrics, *trial.curves)))


def as_value(given: object) -> Value:
    """What was recorded as a hyperparameter's value; NaN is none, and what is no plain value becomes text."""
    given = plain(given)
    if isinstance(given, float) and not math.isfinite(given):
        return None if math.isnan(given) else str(given)
    if given is None or isinstance(given, bool | int | float | str):
        return given
    if isinstance(given, list | tuple | dict):
        return json.dumps(given, default=str)
    return str(given)


def flattened(nested: Mapping[str, object]) -> dict[str, object]:
    """What is nested under the names ``outer/inner``, as Ray Tune calls it.

    Raises:
        DataError: two have the same name by that.
    """
    found: dict[str, object] = {}

    def visit(part: Mapping[str, object], path: str) -> None:
        for key, value in part.items():
            name = f"{path}{key}".strip()
            if isinstance(value, Mapping) and value:
                visit(value, f"{name}/")
                continue
            require_once(name, found)
            found[name] = value

    visit(nested, "")
    return found


def values_of(nested: Mapping[str, object]) -> dict[str, Value]:
    """The hyperparameters of a nested configuration."""
    return {name: as_value(value) for name, value in flattened(nested).items()}


def as_number(given: object) -> float | None:
    """A metric's value, NaN and infinity included; None for what is no number."""
    return float(given) if isinstance(given, int | float) and not isinstance(given, bool) else None


def require_once(name: str, taken: Mapping[str, object]) -> None:
    """Refuse a name that there is already.

    Raises:
        DataError: it stands twice.
    """
    if name in taken:
        raise DataError(
            f"Each hyperparameter and metric must have a name of its own, but {name!r} stands twice; rename one."
        )
