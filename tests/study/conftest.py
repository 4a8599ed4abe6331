"""A workload as far as a round needs one, and rounds over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Budget
from raytune_playbook.study.study import WorkloadSpec

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
