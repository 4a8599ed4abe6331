"""Evaluation in one process (rules EV3 and EV7); `test_several_processes` has the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from raytune_playbook.data.stream import evaluation_rows
from raytune_playbook.errors import SpecError
from raytune_playbook.train.evaluation import WEIGHT, evaluate
from raytune_playbook.train.group import Group
from raytune_playbook.train.workload import Values


class Identity:
    """Metrics are columns of the batch; padding is told by its weight."""

    def __init__(self, padding: float = 0.0) -> None:
        self._padding = padding
        self.modes: list[tuple[bool, bool]] = []

    def metrics(self, model, batch, values):
        self.modes.append((model.training, torch.is_grad_enabled()))
        real = batch[WEIGHT] > 0
        return {name: torch.where(real, batch[name], self._padding) for name in ("a", "b")}


COLUMNS = {"a": torch.arange(37, dtype=torch.float32), "b": torch.tensor([0.0, 1.0] * 18 + [1.0])}


def batches(num_examples: int = 37, batch_size: int = 8):
    for rows, weights in evaluation_rows(num_examples, batch_size, 0, 1):
        yield {name: column[rows] for name, column in COLUMNS.items()} | {WEIGHT: torch.from_numpy(weights)}


@pytest.mark.parametrize("batch_size", [1, 5, 8, 37, 64])
@pytest.mark.parametrize("padding", [0.0, 1e30, math.inf, math.nan])
def test_ev3_every_example_counts_once_and_padding_not_at_all(batch_size, padding):
    found = evaluate(Identity(padding), nn.Identity(), batches(batch_size=batch_size), Values({}), Group())
    assert found == {"a": 18.0, "b": 19 / 37}


def test_ev3_sums_are_exact_over_many_examples():
    num = 300_000
    column = torch.full((num,), 0.1)
    data = [{"a": column, "b": column, WEIGHT: torch.ones(num)}] * 4
    found = evaluate(Identity(), nn.Identity(), data, Values({}), Group())
    assert found["a"] == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_not_a_number_of_a_real_example_is_not_hidden():
    data = [{"a": torch.tensor([1.0, math.nan]), "b": torch.tensor([1.0, 0.0]), WEIGHT: torch.ones(2)}]
    found = evaluate(Identity(), nn.Identity(), data, Values({}), Group())
    assert math.isnan(found["a"])
    assert found["b"] == 0.5


@pytest.mark.parametrize("training", [True, False])
def test_ev7_evaluation_mode_and_no_gradients_within_and_as_before_after(training):
    workload, model = Identity(), nn.Dropout().train(training)
    evaluate(workload, model, batches(), Values({}), Group())
    assert set(workload.modes) == {(False, False)}
    assert model.training is training
    assert torch.is_grad_enabled()


def test_the_mode_is_restored_after_an_error():
    class Broken(Identity):
        def metrics(self, model, batch, values):
            raise ValueError("no metrics")

    model = nn.Dropout().train()
    with pytest.raises(ValueError, match="no metrics"):
        evaluate(Broken(), model, batches(), Values({}), Group())
    assert model.training


@pytest.mark.parametrize("value", [torch.tensor(0.5), torch.zeros(8, 1), torch.zeros(7)])
def test_a_metric_of_a_wrong_shape_is_one_sentence(value):
    class Wrong(Identity):
        def metrics(self, model, batch, values):
            return {"error": value}

    words = r"Workload.metrics: error must have one value per example, shape \(8,\), but has shape .*reduction='none'"
    with pytest.raises(SpecError, match=words):
        evaluate(Wrong(), nn.Identity(), batches(), Values({}), Group())
