"""What a search may learn from: trials as observations of one space.

Earlier studies' trials of the same workload and space are evidence for a later search, the "final automated tuning
study" of the Deep Learning Tuning Playbook's "After exploration concludes".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.errors import SpaceError
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import (
    Categorical,
    Discrete,
    Float,
    Hyperparameter,
    Int,
    is_same,
)
from raytune_playbook.study.hyperparameters.space import active
from raytune_playbook.study.study import StudySpec

Goal: TypeAlias = Literal["minimize", "maximize"]

Cube: TypeAlias = npt.NDArray[np.float64]
"""Coordinates in the unit cube."""


@dataclass(frozen=True)
class Observation:
    """What one trial tells: its objective, or None where its point is infeasible.

    A trial that crashed tells nothing about its point, and makes no observation.
    """

    values: Mapping[str, Value]
    objective: float | None

    @property
    def infeasible(self) -> bool:
        """Whether the point could not be trained."""
        return self.objective is None


@dataclass(frozen=True)
class Evidence:
    """What a proposal is made from.

    Fields:
        observed: trials that have ended, of this study or of earlier ones, in any order; values of other
            hyperparameters may stand beside those of the space.
        pending: the values of the trials without an outcome, in any order: those that are under way, and those that
            crashed, which tells nothing about the point but that it should not be tried again.
        goal: whether small or large objectives are good.
    """

    observed: Sequence[Observation]
    pending: Sequence[Mapping[str, Value]]
    goal: Goal


def observations(space: Mapping[str, Hyperparameter], trials: Iterable[Trial]) -> list[Observation]:
    """The trials that tell something about the space, with their values in it.

    Left out are trials that have not ended or crashed, repeats of a point (the best of several draws is better by luck
    alone), and trials with a value outside of the space.

    Args:
        space: one arm's active space.
        trials: judged by the objective that the search is for.
    """
    found = []
    for trial in trials:
        values = {name: _restored(hyperparameter, trial.values.get(name)) for name, hyperparameter in space.items()}
        inside = all(hyperparameter.to_unit(values[name]) is not None for name, hyperparameter in space.items())
        judged = trial.outcome == Outcome.INFEASIBLE or (
            trial.outcome == Outcome.COMPLETED and trial.objective is not None
        )
        if inside and judged and trial.repeat == 0:
            found.append(Observation(values, trial.objective if trial.outcome == Outcome.COMPLETED else None))
    return found


def earlier_observations(
    study: StudySpec, arm: Mapping[str, Value], earlier: StudySpec, trials: Iterable[Trial]
) -> list[Observation]:
    """Another study's trials as observations of an arm of this one: those that this study could have run itself.

    They lie in the arm's active space, and agree with the study in every value that it does not vary.

    Args:
        study: whose search is to learn from them.
        arm: the study's own (`StudySpec.arm`), or one of those that a joint study samples (`StudySpec.arms`).
        earlier: the study of the trials, in its own round or another.
        trials: judged by the objective of `earlier`; those of other studies are left out.

    Raises:
        SpaceError: the two studies' objective values do not compare: another workload, number of steps, or objective.
    """
    _require_comparable(study, earlier)
    space = active(study.space, arm)
    # What a qualified name sets, such as adam.learning_rate the learning_rate, is compared under that name.
    varied = space.keys() | set(study.sets.values())
    settled = {name: value for name, value in {**study.fixed, **arm}.items() if name not in varied}
    agreeing = [
        trial
        for trial in trials
        if trial.study == earlier.name and all(_agree(trial.values.get(name), value) for name, value in settled.items())
    ]
    return observations(space, agreeing)


def unit_points(space: Mapping[str, Hyperparameter], points: Sequence[Mapping[str, Value]]) -> Cube:
    """Points as coordinates of the unit cube, each on its hyperparameter's own scale.

    Returns:
        An array of shape ``(num_points, num_dims)``.

    Raises:
        SpaceError: a point has no value in the range of a hyperparameter.
    """
    cube = np.empty((len(points), len(space)))
    for dim, (name, hyperparameter) in enumerate(space.items()):
        for row, values in enumerate(points):
            unit = hyperparameter.to_unit(values.get(name))
            if unit is None:
                raise SpaceError(
                    f"{name}: every trial that a search learns from needs a value in its range, {hyperparameter!r}, "
                    f"but got {values.get(name)!r}; leave out the trials that lie elsewhere."
                )
            cube[row, dim] = unit
    return cube


def distances(space: Mapping[str, Hyperparameter], cube: Cube, point: Cube) -> Cube:
    """Distances in the unit cube; choices without an order are all equally far from each other.

    Args:
        space: of the points.
        cube: points, ``(num_points, num_dims)``.
        point: from which they are measured, ``(num_dims,)``.

    Returns:
        An array of shape ``(num_points,)``.
    """
    gaps = np.abs(cube - point)
    unordered = [isinstance(hyperparameter, Categorical) for hyperparameter in space.values()]
    gaps[:, unordered] = gaps[:, unordered] > 0
    lengths: Cube = np.sqrt(np.square(gaps).sum(axis=1))
    return lengths


def _require_comparable(study: StudySpec, earlier: StudySpec) -> None:
    # Not the workload's module or source: a study's fingerprint leaves them out too.
    facts = {
        "workload": (
            f"{study.workload.name} {study.workload.settings}",
            f"{earlier.workload.name} {earlier.workload.settings}",
        ),
        "max_train_steps": (study.max_train_steps, earlier.max_train_steps),
        "objective": (study.objective, earlier.objective),
    }
    for name, (ours, theirs) in facts.items():
        if ours != theirs:
            raise SpaceError(
                f"A search learns from studies with the same {name} only, but {study.name!r} has {ours} and the "
                f"earlier {earlier.name!r} has {theirs}; leave that study out."
            )


def _restored(hyperparameter: Hyperparameter, value: Value) -> Value:
    """The value as the space has it: a table gives it back in its column's type, 32 as 32.0 or as "32"."""
    match hyperparameter:
        case Float():
            return value
        case Int():
            return int(value) if isinstance(value, float) and value.is_integer() else value
        case Discrete():
            return next((own for own in hyperparameter.values if _agree(value, own)), value)
        case Categorical():
            return next((own for own in hyperparameter.choices if _agree(value, own)), value)


def _agree(recorded: Value, own: Value) -> bool:
    """Whether a value that a table gave back is ``own``."""
    return is_same(recorded, own) or (isinstance(recorded, str) and recorded == str(own))
