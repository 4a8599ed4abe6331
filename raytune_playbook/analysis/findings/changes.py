"""What a next study can change, as data: `raytune_playbook.procedures.propose` applies it to a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter


@dataclass(frozen=True)
class SearchOver:
    """Search a hyperparameter over another range or scale; one that was fixed becomes nuisance by it."""

    name: str
    hyperparameter: Hyperparameter


@dataclass(frozen=True)
class Fix:
    """Fix a hyperparameter, which leaves the search where it was in it."""

    name: str
    value: Value


@dataclass(frozen=True)
class Drop:
    """Compare fewer values of a scientific hyperparameter; the values that are dropped."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class NumTrials:
    """Give every study so many trials."""

    per_study: int


@dataclass(frozen=True)
class TrainSteps:
    """Train every trial for so many steps."""

    max_train_steps: int


Change: TypeAlias = SearchOver | Fix | Drop | NumTrials | TrainSteps
