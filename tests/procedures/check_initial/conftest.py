"""Kept models of small workloads, without a trial behind them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from raytune_playbook.engine.trained.load import KeptModel
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.group import Group
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.workload import Values, Workload


@pytest.fixture
def kept() -> Callable[..., KeptModel]:
    """A function from a workload, and values that differ from its defaults, to a model of it as it would be loaded."""

    def make(workload: Workload, **values: object) -> KeptModel:
        values = workload.hyperparameters() | values
        spec = TrialSpec(
            study="all",
            index=0,
            seed=0,
            values=values,
            max_train_steps=1,
            evaluation_interval_steps=1,
            divergence_factor=2.0,
            objective=Objective(),
        )
        torch.manual_seed(0)
        module = workload.model(Values(values)).eval()
        return KeptModel(spec, 1, TrialModel(workload, module, Values(values), Group()))

    return make
