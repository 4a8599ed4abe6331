"""A workload as far as a round needs one, and rounds over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget, Objective
from raytune_playbook.study.study import StudySpec, WorkloadSpec

DEFAULTS: dict[str, Value] = {
    "optimizer": "momentum",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "weight_decay": 0.0,
    "batch_size": 64,
    "depth": 2,
    "width": 16,
    "activation": "relu",
}


STUDY: dict[str, object] = {
    "name": "activation=relu",
    "arm": {"activation": "relu"},
    "space": {
        "learning_rate": Float(1e-3, 1.0, scale="log"),
        "momentum": Float(0.5, 0.99, scale="log_one_minus"),
        "width": Int(16, 64, scale="log"),
        "depth": Discrete([2, 4.5, 8]),
        "augmentation": Categorical([None, True, 1, "1", 0.5]),
    },
    "fixed": {"epsilon": 1e-8, "decay_steps": None, "clip": False, "batch_size": 64, "schedule": "cosine"},
    "seed": 2**63,
    "num_trials": 10,
    "objective": Objective(),
    "max_train_steps": 100,
    "evaluation_interval_steps": 10,
    "divergence_factor": 2.0,
    "workload": WorkloadSpec(module="jobs.plain", name="Plain", settings={"size": 3}, source_hash="5f3c"),
    "num_workers": 2,
    "threads_per_worker": 1,
}
"""A study's fields, with a hyperparameter of each kind and a value of each type."""


class PlainWorkload:
    """What `HasHyperparameters` asks for; no torch."""

    def __init__(self, defaults: Mapping[str, Value] = DEFAULTS) -> None:
        self._defaults = dict(defaults)

    def hyperparameters(self) -> Mapping[str, Value]:
        return self._defaults

    def spec(self) -> WorkloadSpec:
        return WorkloadSpec(module="jobs.plain", name="PlainWorkload", settings={"size": 3}, source_hash="5f3c")


@pytest.fixture
def workload() -> PlainWorkload:
    return PlainWorkload()


@pytest.fixture
def make_round(workload: PlainWorkload) -> Callable[..., Round]:
    """A function from whatever differs from the plainest round to a round."""

    def make(num_trials: int = 12, **fields: object) -> Round:
        budget = Budget(num_trials=num_trials, max_train_steps=100, evaluation_interval_steps=10)
        return Round(**{"name": "round", "goal": "A goal?", "workload": workload, "budget": budget} | fields)

    return make


@pytest.fixture
def make_study() -> Callable[..., StudySpec]:
    """A function from the fields that differ to a study; of a dict, those of its entries that differ."""

    def make(**changes: object) -> StudySpec:
        merged = {
            name: STUDY[name] | change if isinstance(change, dict) and name in ("fixed", "space") else change
            for name, change in changes.items()
        }
        return StudySpec(**(STUDY | merged))

    return make
