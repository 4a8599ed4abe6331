"""Optuna's Gaussian process sampler as a function of its data; needs the extra ``bayes``.

Each hyperparameter is searched on its own scale: by its coordinate of the unit interval, by whole numbers, or by the
places of values in their list. Only `raytune_playbook.search.bayes` imports this module, when it is called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import GPSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from raytune_playbook.search.evidence import Cube
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int

if TYPE_CHECKING:
    from optuna._gp.acqf import BaseAcquisitionFunc

MAX_GRID = 1000
"""An `Int` with more values is searched as a continuous range, whose points fall on whole numbers."""

_CONSTRAINT = "infeasible"

_NUM_STARTUP_TRIALS = 1
"""So few that no proposal is drawn at random."""


@dataclass(frozen=True)
class Told:
    """One point that the model is told of.

    Fields:
        values: in the space.
        target: small is good; None for a point under way.
        violation: of the constraint, above zero where the point is infeasible; None where there is no constraint.
    """

    values: Mapping[str, Value]
    target: float | None = None
    violation: float | None = None


def best_point(space: Mapping[str, Hyperparameter], told: Sequence[Told], seed: int) -> dict[str, Value]:
    """The point of the space with the greatest expected improvement, as far as a local search finds it."""
    params = _ask(
        space, told, GPSampler(seed=seed, n_startup_trials=_NUM_STARTUP_TRIALS, warn_independent_sampling=False)
    )
    return {name: _decoded(hyperparameter, params[name]) for name, hyperparameter in space.items()}


def best_among(
    space: Mapping[str, Hyperparameter], told: Sequence[Told], points: Sequence[Mapping[str, Value]], seed: int
) -> int:
    """Which of ``points`` has the greatest expected improvement; ties go to the first."""
    sampler = _AmongSampler([_trial(space, Told(values, target=0.0)) for values in points], seed)
    _ask(space, told, sampler)
    return sampler.chosen


class _AmongSampler(GPSampler):
    """Maximizes the acquisition function over given points, by evaluating it at each.

    Optuna leaves this hook to be overridden, but promises to keep it for no later release than the one that the extra
    names.
    """

    def __init__(self, points: Sequence[FrozenTrial], seed: int) -> None:
        super().__init__(seed=seed, n_startup_trials=_NUM_STARTUP_TRIALS, warn_independent_sampling=False)
        self._points = list(points)
        self.chosen = 0  # remains where every hyperparameter has a single value, and nothing is asked

    def _optimize_acqf(self, acqf: BaseAcquisitionFunc, best_params: Cube | None) -> Cube:
        cube: Cube = acqf.search_space.get_normalized_params(self._points)
        self.chosen = int(np.argmax(acqf.eval_acqf_no_grad(cube)))
        row: Cube = cube[self.chosen]
        return row


def _ask(space: Mapping[str, Hyperparameter], told: Sequence[Told], sampler: GPSampler) -> dict[str, int | float]:
    with _quiet():
        study = optuna.create_study(sampler=sampler, direction="minimize")
        study.add_trials([_trial(space, each) for each in told])
        return study.ask({name: _distribution(hyperparameter) for name, hyperparameter in space.items()}).params


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna's log lines from the terminal, and leaves its verbosity as it was."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _trial(space: Mapping[str, Hyperparameter], told: Told) -> FrozenTrial:
    return create_trial(
        state=TrialState.RUNNING if told.target is None else TrialState.COMPLETE,
        value=told.target,
        params={name: _encoded(hyperparameter, told.values[name]) for name, hyperparameter in space.items()},
        distributions={name: _distribution(hyperparameter) for name, hyperparameter in space.items()},
        constraints=None if told.violation is None else {_CONSTRAINT: told.violation},
    )


def _distribution(hyperparameter: Hyperparameter) -> BaseDistribution:
    match hyperparameter:
        case Int() if hyperparameter.num_values <= MAX_GRID:
            return IntDistribution(hyperparameter.low, hyperparameter.high, log=hyperparameter.scale == "log")
        case Float() | Int():
            return FloatDistribution(0.0, 1.0)
        case Discrete():
            return IntDistribution(0, hyperparameter.num_values - 1)
        case Categorical():
            return CategoricalDistribution(range(hyperparameter.num_values))


def _encoded(hyperparameter: Hyperparameter, value: Value) -> int | float:
    """A value of the space where `_distribution` has it."""
    unit = hyperparameter.to_unit(value)
    assert unit is not None, "unit_points has refused it"
    match hyperparameter:
        case Int() if hyperparameter.num_values <= MAX_GRID:
            return hyperparameter.from_unit(unit)
        case Float() | Int():
            return unit
        case Discrete() | Categorical():
            return int(unit * hyperparameter.num_values)


def _decoded(hyperparameter: Hyperparameter, param: int | float) -> Value:
    """The inverse of `_encoded`."""
    match hyperparameter:
        case Int() if hyperparameter.num_values <= MAX_GRID:
            return int(param)
        case Float() | Int():
            return hyperparameter.from_unit(param)
        case Discrete():
            return hyperparameter.values[int(param)]
        case Categorical():
            return hyperparameter.choices[int(param)]
