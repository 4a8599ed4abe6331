"""A workload whose trials can be made to fail in every way, and rounds over it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raytune_playbook import Batch, Budget, Categorical, Float, Objective, Resources, Round, Values, Workload
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter

RESOURCES = Resources(num_workers=2, cpus_per_worker=1, num_gangs=2, collective_timeout_s=20)


class Regression(Workload):
    """A small network on made data; ``fault`` says how its trials go wrong, and where.

    Args:
        broken: values of ``x`` at which the fault happens; None for everywhere.
        marker: a folder in which a fault that happens once leaves its mark, and in which the file ``hold-N`` keeps the
            N-th broken trial waiting.
    """

    def __init__(self, broken: tuple[float, ...] | None = None, marker: str = "") -> None:
        self._broken, self._marker = broken, marker

    def defaults(self) -> Mapping[str, Value]:
        return {"x": 0.5, "dropout": 0.2, "fault": "none", "step_sleep_s": 0.0, "batch_size": 16}

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(137, 6)).astype(np.float32)
        targets = np.tanh(inputs @ rng.normal(size=6)).astype(np.float32)
        columns = {"input": inputs, "target": targets}
        return {
            "train": {name: values[:96] for name, values in columns.items()},
            "validation": {name: values[96:] for name, values in columns.items()},
        }

    def model(self, values: Values) -> nn.Module:
        values.number("x")  # also where there is no fault: what varies is read
        if self._is_broken(values, "raise"):
            raise ValueError(f"no such model at x={values.number('x')}")
        return nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(values.number("dropout")), nn.Linear(16, 1)
        )

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        if model.training:
            time.sleep(values.number("step_sleep_s"))
            while self._is_broken(values, "hold") and self._hold_of(values).exists():
                time.sleep(0.05)
            if self._is_broken(values, "raise on one worker") and torch.distributed.get_rank() == 1:
                raise ValueError("only this worker")
            if self._is_broken(values, "exit once") and not (mark := Path(self._marker) / "exited").exists():
                mark.touch()
                os._exit(3)
        loss = (model(batch["input"]).squeeze(1) - batch["target"]).square()
        if model.training and self._is_broken(values, "nan"):
            return loss * math.nan
        if model.training and self._is_broken(values, "diverge"):
            return 11 * loss.detach() - 10 * loss  # the same loss, but steps that go far uphill
        return loss

    def infeasible(self, values: Values) -> str | None:
        return "x is out of reach" if self._is_broken(values, "declared") else None

    def _hold_of(self, values: Values) -> Path:
        return Path(self._marker) / f"hold-{(self._broken or ()).index(values.number('x'))}"

    def _is_broken(self, values: Values, fault: str) -> bool:
        return values["fault"] == fault and (self._broken is None or values.number("x") in self._broken)


RoundMaker = Callable[..., Round]


@pytest.fixture
def make_round() -> RoundMaker:
    """Makes rounds over the regression: three arms of batch norm, or one study with ``arms=1``."""

    def make(
        name: str,
        *,
        arms: int = 1,
        trials_per_study: int = 2,
        fault: str = "none",
        broken: tuple[int, ...] | None = None,
        resources: Resources = RESOURCES,
        steps: int = 4,
        step_sleep_s: float = 0.0,
        wall_clock_s: float | None = None,
        marker: str = "",
    ) -> Round:
        kinds = ("device", "sync", "ghost")[:arms]
        scientific: dict[str, Hyperparameter] = {"batch_norm": Categorical(kinds)} if arms > 1 else {}

        def of(workload: Workload) -> Round:
            return Round(
                name=name,
                goal="Does the engine run it?",
                workload=workload,
                scientific=scientific,
                nuisance={"learning_rate": Float(0.01, 0.1, scale="log"), "x": Float(0.0, 1.0)},
                fixed={"fault": fault, "step_sleep_s": step_sleep_s, "virtual_batch_size": 4},
                objective=Objective(metric="loss"),
                budget=Budget(
                    num_trials=trials_per_study * max(1, arms),
                    max_train_steps=steps,
                    evaluation_interval_steps=2,
                    wall_clock_s=wall_clock_s,
                ),
                resources=resources,
            )

        if broken is None:
            return of(Regression(marker=marker))
        study = of(Regression()).studies[0]
        at = tuple(Values(suggest(study, index).values).number("x") for index in broken)
        return of(Regression(at, marker))

    return make
