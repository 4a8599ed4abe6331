"""A kept model's predictions on any data (rule EV8)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from raytune_playbook.errors import SpecError
from raytune_playbook.study.evaluation_settings import ROW, WEIGHT
from raytune_playbook.train.group import Group
from raytune_playbook.train.model import TrialModel
from raytune_playbook.train.prediction import examples_table, predict
from raytune_playbook.train.workload import Values, Workload

FLOAT32 = Values({"precision": "float32"})


def modelled(workload: Workload, module: nn.Module) -> TrialModel:
    return TrialModel(workload, module, FLOAT32, Group())


class Scaled(Workload):
    """Predicts from a column ``x``; what is predicted can be replaced, to be wrong."""

    def __init__(self, **wrong: torch.Tensor) -> None:
        self._wrong = wrong
        self.num_examples: list[int] = []

    def datasets(self):
        return {}

    def model(self, values):
        torch.manual_seed(0)
        return nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))

    def loss(self, model, batch, values):
        return model(batch["x"]).sum(1)

    def predictions(self, model, batch, values):
        self.num_examples.append(len(batch["x"]))
        logits = model(batch["x"])
        assert not logits.requires_grad
        found = {"label": logits.argmax(1), "logits": logits, "pairs": logits[:, None].expand(-1, 4, -1)}
        return found | {"half": logits.bfloat16()[:, 0]} | self._wrong


def columns(num: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(num).normal(size=(num, 3)).astype(np.float32)}


def batches(examples: dict[str, np.ndarray], size: int):
    """Of one size, the last one filled up."""
    num = len(next(iter(examples.values())))
    for start in range(0, num, size):
        rows = np.arange(start, start + size)
        padded = {name: column[np.minimum(rows, num - 1)] for name, column in examples.items()}
        yield padded | {ROW: rows, WEIGHT: (rows < num).astype(np.float32)}


@pytest.mark.parametrize("num", [1, 7, 8, 9, 1000])
@pytest.mark.parametrize("batch_size", [1, 8, 256])
def test_ev8_every_example_has_its_prediction_in_order(num, batch_size):
    workload = Scaled()
    model = workload.model(FLOAT32)
    table = pa.concat_tables(predict(modelled(workload, model), batches(columns(num), batch_size)))
    with torch.no_grad():
        exact = model.eval()(torch.from_numpy(columns(num)["x"])).numpy()
    assert table.schema.names == ["row", "label", "logits", "pairs", "half"]
    assert table["row"].to_pylist() == list(range(num))
    logits = np.array(table["logits"].to_pylist())
    np.testing.assert_allclose(logits, exact, rtol=1e-5, atol=1e-6)
    assert table["label"].to_pylist() == logits.argmax(1).tolist()
    assert np.array_equal(np.array(table["pairs"].to_pylist()), np.repeat(logits[:, None], 4, axis=1))
    np.testing.assert_allclose(table["half"].to_numpy(), exact[:, 0], rtol=1e-2)


def test_evaluation_mode_and_nothing_of_the_model_changes():
    workload = Scaled()
    model = workload.model(FLOAT32).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tables = predict(modelled(workload, model), batches(columns(20), 8))
    for _ in tables:
        assert model.training
        assert torch.is_grad_enabled()  # the consumer's own, between two batches
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_only_one_batch_is_computed_ahead():
    workload = Scaled()
    tables = predict(modelled(workload, workload.model(FLOAT32)), batches(columns(100), 8))
    next(tables)
    assert workload.num_examples == [8]


def test_no_examples_no_tables():
    workload = Scaled()
    assert list(predict(modelled(workload, workload.model(FLOAT32)), [])) == []


class Silent(Scaled):
    def predictions(self, model, batch, values):
        return {}


class Raises(Scaled):
    def predictions(self, model, batch, values):
        return {"x": batch["y"]}


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        (Silent(), "Silent.predictions must say what is predicted, but it returns nothing; return what"),
        (Scaled(wrong=torch.zeros(())), r"predictions: wrong must have one entry per example, shape \(8, ...\)"),
        (Scaled(wrong=torch.zeros(4, 5)), r"but has shape \(4, 5\)"),
        (
            Raises(),
            r"Raises must take the examples \{'x': 'float32\[3\]'\}, but raises KeyError: 'y' \(.*test_pred.*line",
        ),
    ],
)
def test_bad_predictions_are_one_sentence(workload, words):
    with pytest.raises(SpecError, match=words) as caught:
        list(predict(modelled(workload, workload.model(FLOAT32)), batches(columns(5), 8)))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ a workload without predictions


class Plain(Workload):
    """Its loss gives the model half of ``x``."""

    def datasets(self):
        return {}

    def model(self, values):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(3, 2))

    def loss(self, model, batch, values):
        return nn.functional.cross_entropy(model(batch["x"] / 2), batch["label"], reduction="none")


class Pair(nn.Module):
    def forward(self, x, y):
        return x + y[:, None]


class GivenTheLabel(Plain):
    def model(self, values):
        return Pair()

    def loss(self, model, batch, values):
        return model(batch["x"], batch["label"]).sum(1)


class CalledTwice(Plain):
    def loss(self, model, batch, values):
        return model(batch["x"]).sum(1) + model(-batch["x"]).sum(1)


class NoTensor(Plain):
    def model(self, values):
        class Two(nn.Module):
            def forward(self, x):
                return x, x

        return Two()

    def loss(self, model, batch, values):
        return model(batch["x"])[0].sum(1)


LABEL = np.zeros((), np.int64)


def output_of(workload: Workload, examples: dict[str, np.ndarray], label: np.ndarray | None = None):
    model = workload.model(FLOAT32)
    table = pa.concat_tables(predict(modelled(workload, model), batches(examples, 8), label=label))
    assert table.schema.names == ["row", "output"]
    return np.array(table["output"].to_pylist(), np.float32), model


@pytest.mark.parametrize("labelled", [True, False])
def test_ev8_without_predictions_it_is_what_the_model_returns_where_the_loss_calls_it(labelled):
    given = columns(11) | ({"label": np.arange(11) % 2} if labelled else {})
    found, model = output_of(Plain(), given, None if labelled else LABEL)
    with torch.no_grad():
        exact = model(torch.from_numpy(given["x"]) / 2).numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)
    assert not model._forward_hooks


def test_a_model_that_is_given_the_labels_cannot_do_without():
    given = columns(5) | {"label": np.arange(5)}
    found, _ = output_of(GivenTheLabel(), given)
    assert np.array_equal(found, given["x"] + np.arange(5)[:, None].astype(np.float32))
    with pytest.raises(SpecError, match="its model is given the labels, but these examples have no 'label'; implement"):
        output_of(GivenTheLabel(), columns(5), LABEL)


@pytest.mark.parametrize(
    ("workload", "words"), [(CalledTwice(), "the model is called 2 times there"), (NoTensor(), "returns tuple there")]
)
def test_what_cannot_be_told_from_the_loss_is_one_sentence(workload, words):
    with pytest.raises(SpecError, match=f"{type(workload).__name__} needs predictions of its own unless .*{words}"):
        output_of(workload, columns(5) | {"label": np.arange(5) % 2})


def test_further_dimensions_become_lists_of_fixed_size():
    column = np.arange(24).reshape(2, 3, 4)
    table = examples_table({"row": np.arange(2), "x": column})
    assert str(table.schema.field("x").type).count("fixed_size_list") == 2
    assert table["x"].to_pylist() == column.tolist()
