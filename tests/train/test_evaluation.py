"""Evaluation in one process (rules EV3, EV6, EV7 and EV8); `test_sharded_evaluation` has the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from raytune_playbook.data.order import BatchShare, evaluation_rows
from raytune_playbook.errors import SpecError
from raytune_playbook.study.evaluation_settings import ROW
from raytune_playbook.train.evaluation import WEIGHT, evaluate, evaluation_mode
from raytune_playbook.train.group import Group
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.workload import Values, Workload


class Identity(Workload):
    """Metrics are columns of the batch; padding is told by its weight."""

    def __init__(self, padding: float = 0.0) -> None:
        self._padding = padding
        self.modes: list[tuple[bool, bool]] = []

    def datasets(self):
        return {}

    def model(self, values):
        return nn.Identity()

    def loss(self, model, batch, values):
        return batch["a"]

    def metrics(self, model, batch, values):
        self.modes.append((model.training, torch.is_grad_enabled()))
        real = batch[WEIGHT] > 0
        return {name: torch.where(real, batch[name], self._padding) for name in ("a", "b")}


FLOAT32 = Values({"precision": "float32"})
COLUMNS = {"a": torch.arange(37, dtype=torch.float32), "b": torch.tensor([0.0, 1.0] * 18 + [1.0])}


def modelled(workload: Workload, module: nn.Module) -> TrialModel:
    return TrialModel(workload, module, FLOAT32, Group())


def batches(num_examples: int = 37, batch_size: int = 8):
    for rows, weights in evaluation_rows(num_examples, BatchShare(batch_size)):
        yield {name: column[rows] for name, column in COLUMNS.items()} | {WEIGHT: torch.from_numpy(weights)}


@pytest.mark.parametrize("batch_size", [1, 5, 8, 37, 64])
@pytest.mark.parametrize("padding", [0.0, 1e30, math.inf, math.nan])
def test_ev3_every_example_counts_once_and_padding_not_at_all(batch_size, padding):
    found = evaluate(modelled(Identity(padding), nn.Identity()), batches(batch_size=batch_size))
    assert found == {"a": 18.0, "b": 19 / 37}


def test_ev3_sums_are_exact_over_many_examples():
    num = 300_000
    column = torch.full((num,), 0.1)
    data = [{"a": column, "b": column, WEIGHT: torch.ones(num)}] * 4
    found = evaluate(modelled(Identity(), nn.Identity()), data)
    assert found["a"] == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_not_a_number_of_a_real_example_is_not_hidden():
    data = [{"a": torch.tensor([1.0, math.nan]), "b": torch.tensor([1.0, 0.0]), WEIGHT: torch.ones(2)}]
    found = evaluate(modelled(Identity(), nn.Identity()), data)
    assert math.isnan(found["a"])
    assert found["b"] == 0.5


@pytest.mark.parametrize("training", [True, False])
def test_ev7_evaluation_mode_and_no_gradients_within_and_as_before_after(training):
    workload, model = Identity(), nn.Dropout().train(training)
    evaluate(modelled(workload, model), batches())
    assert set(workload.modes) == {(False, False)}
    assert model.training is training
    assert torch.is_grad_enabled()


def test_the_mode_is_restored_after_an_error():
    class Broken(Identity):
        def metrics(self, model, batch, values):
            raise ValueError("no metrics")

    model = nn.Dropout().train()
    with pytest.raises(ValueError, match="no metrics"):
        evaluate(modelled(Broken(), model), batches())
    assert model.training


@pytest.mark.parametrize("value", [torch.tensor(0.5), torch.zeros(8, 1), torch.zeros(7)])
def test_a_metric_of_a_wrong_shape_is_one_sentence(value):
    class Wrong(Identity):
        def metrics(self, model, batch, values):
            return {"error": value}

    words = r"Workload.metrics: error must have one value per example, shape \(8,\), but has shape .*reduction='none'"
    with pytest.raises(SpecError, match=words):
        evaluate(modelled(Wrong(), nn.Identity()), batches())


# ------------------------------------------------------------------ beyond means


class Counted(Identity):
    """Column ``a`` is the label; predictions and metrics of the set can be replaced."""

    label_column = "a"

    def __init__(self, predicted=None, named=None) -> None:
        super().__init__()
        self._predicted, self._named = predicted, named or {}

    def predictions(self, model, batch, values):
        self.modes.append((model.training, torch.is_grad_enabled()))
        return {"a": batch["b"]} if self._predicted is None else self._predicted

    def classes(self):
        return {1: "one", 3: "three"}

    def set_metrics(self, predictions, labels):
        return {name: value(predictions, labels) for name, value in self._named.items()}


def numbered(num_examples: int = 37):
    for batch, (rows, _) in zip(batches(num_examples), evaluation_rows(num_examples, BatchShare(8)), strict=True):
        yield batch | {ROW: torch.from_numpy(rows)}


def test_ev6_ev8_counts_and_metrics_of_the_set_stand_beside_the_means():
    workload = Counted(named={"largest": lambda predictions, labels: (labels * predictions["a"]).max()})
    found = evaluate(modelled(workload, nn.Identity()), numbered())
    assert found == {
        "a": 18.0,
        "b": 19 / 37,
        "num_examples.one": 1,
        "num_correct.one": 1,
        "num_examples.three": 1,
        "num_correct.three": 0,
        "largest": 36.0,
    }
    assert set(workload.modes) == {(False, False)}


def test_predictions_are_not_computed_where_nobody_asks_for_all_of_them():
    class Chosen(Identity):
        def predictions(self, model, batch, values):
            raise AssertionError("only examine needs them")

    assert evaluate(modelled(Chosen(), nn.Identity()), batches()) == {"a": 18.0, "b": 19 / 37}


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        (
            Counted({"b": torch.zeros(8)}),
            r"must hold the predicted 'a' where there are classes, but has \['b'\]; add it",
        ),
        (Counted({"a": torch.zeros(8, 2)}), r"Workload.predictions: a must have one value per example, shape \(40,\)"),
        (Counted({"a": torch.zeros(())}), r"predictions: a must have one entry per example, shape \(8, ...\), but has"),
        (Counted({"a": torch.zeros(7)}), r"but has shape \(7,\); return what the model says of each example"),
        (Counted(named={"b": lambda *_: 0.5}), "must be named apart from Workload.metrics, but both have 'b'"),
    ],
)
def test_bad_predictions_are_one_sentence(workload, words):
    with pytest.raises(SpecError, match=words):
        evaluate(modelled(workload, nn.Identity()), numbered())


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "label_column must be a column of the examples, but 'a' is not among .*; name the one that holds"),
        (torch.zeros(8, 2), r"label_column must hold one label per example, but 'a' has shape \(8, 2\)"),
    ],
)
def test_a_label_column_that_holds_no_labels_is_one_sentence(label, words):
    class Unlabelled(Counted):
        def metrics(self, model, batch, values):
            return {"b": batch["b"]}

        def predictions(self, model, batch, values):
            return {"a": batch["b"]}

    batch = {"b": torch.zeros(8), WEIGHT: torch.ones(8), ROW: torch.arange(8)}
    data = [batch if label is None else batch | {"a": label}]
    with pytest.raises(SpecError, match=words):
        evaluate(modelled(Unlabelled(), nn.Identity()), data)


def test_ev5_standard_errors_do_not_cancel_far_from_zero():
    column = torch.arange(100, dtype=torch.float64) + 1e9
    data = [{"a": column, "b": column, WEIGHT: torch.ones(100)}]
    found = evaluate(modelled(Identity(), nn.Identity()), data, with_errors=True)
    assert found["standard_error.a"] == pytest.approx(np.arange(100).std(ddof=1) / 10, rel=1e-9)
    assert found["num_examples"] == 100


def test_ev7_an_evaluation_leaves_each_part_of_a_model_in_its_mode():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    model[1][0].eval()  # as a workload that freezes a layer's running averages does
    with evaluation_mode(modelled(Identity(), model)):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, True, True, False, True]
