"""Specifications of small studies, for tests that need no storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec, WorkloadSpec

WORKLOAD = WorkloadSpec(module="jobs.digits", name="Digits", settings={}, source_hash="5f3c")


@pytest.fixture
def make_study() -> Callable[..., StudySpec]:
    """A function from (arm, space, num_trials) to a study."""

    def make(
        arm: Mapping[str, Value] | None = None,
        space: Mapping[str, Hyperparameter] | None = None,
        num_trials: int = 4,
    ) -> StudySpec:
        arm = dict(arm or {})
        return StudySpec(
            name=",".join(f"{name}={value}" for name, value in arm.items()) or "all",
            arm=arm,
            space=dict(space or {}),
            fixed={"depth": 20},
            seed=0,
            num_trials=num_trials,
            objective=Objective(),
            max_train_steps=100,
            evaluation_interval_steps=10,
            divergence_factor=2.0,
            workload=WORKLOAD,
            num_workers=1,
            threads_per_worker=1,
        )

    return make
