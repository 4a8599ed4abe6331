"""A kept model's predictions on any data (rule EV8)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from raytune_playbook.errors import SpecError
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


@pytest.mark.parametrize("num", [1, 7, 8, 9, 1000])
@pytest.mark.parametrize("batch_size", [1, 8, 256])
def test_ev8_every_example_has_its_prediction_in_order(num, batch_size):
    workload = Scaled()
    model = workload.model(FLOAT32)
    table = pa.concat_tables(predict(modelled(workload, model), columns(num), batch_size=batch_size))
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
    tables = predict(modelled(workload, model), columns(20), batch_size=8)
    for _ in tables:
        assert model.training
        assert torch.is_grad_enabled()  # the consumer's own, between two batches
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_only_one_batch_is_computed_ahead():
    workload = Scaled()
    tables = predict(modelled(workload, workload.model(FLOAT32)), columns(100), batch_size=8)
    next(tables)
    assert workload.num_examples == [8]


def test_no_examples_no_tables():
    workload = Scaled()
    assert list(predict(modelled(workload, workload.model(FLOAT32)), columns(0))) == []
    assert list(predict(modelled(workload, workload.model(FLOAT32)), {})) == []


class Silent(Scaled):
    def predictions(self, model, batch, values):
        return {}


@pytest.mark.parametrize(
    ("workload", "batch_size", "words"),
    [
        (Silent(), 8, "Silent.predictions must say what is predicted, but it returns nothing; implement it"),
        (Scaled(wrong=torch.zeros(())), 8, r"predictions: wrong must have one entry per example, shape \(5, ...\)"),
        (Scaled(wrong=torch.zeros(4, 5)), 8, r"but has shape \(4, 5\)"),
        (Scaled(), 0, "batch_size must be at least 1, but got 0"),
    ],
)
def test_bad_predictions_are_one_sentence(workload, batch_size, words):
    with pytest.raises(SpecError, match=words):
        list(predict(modelled(workload, workload.model(FLOAT32)), columns(5), batch_size=batch_size))


def test_further_dimensions_become_lists_of_fixed_size():
    column = np.arange(24).reshape(2, 3, 4)
    table = examples_table({"row": np.arange(2), "x": column})
    assert str(table.schema.field("x").type).count("fixed_size_list") == 2
    assert table["x"].to_pylist() == column.tolist()
