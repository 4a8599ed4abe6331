"""bfloat16 and compilation, against float32 and eager execution."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch._dynamo
from torch import nn

from raytune_playbook.errors import SpecError
from raytune_playbook.train.precision import autocast, compile_, mean_loss
from raytune_playbook.train.process.reset import reset
from raytune_playbook.train.workload import Values
from raytune_playbook.workloads.digits import DigitsResNet

CPU = torch.device("cpu")

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


def losses(rows: list[dict[str, object]], split: str = "step") -> torch.Tensor:
    return torch.tensor([row["loss"] for row in rows if row["split"] == split], dtype=torch.float64)


def test_within_bfloat16_products_have_its_digits_and_outside_they_have_not():
    x = torch.tensor([[1.0 + 2**-12]])
    with autocast(Values({"precision": "bfloat16"}), CPU):
        product = x @ torch.ones(1, 1)
    assert (product.dtype, product.item()) == (torch.bfloat16, 1.0)
    with autocast(Values({"precision": "float32"}), CPU):
        assert (x @ torch.ones(1, 1)).item() == 1.0 + 2**-12


def test_a_mean_of_bfloat16_losses_has_the_digits_of_float32():
    many = torch.ones(1001, dtype=torch.bfloat16)
    many[0] = 2.0
    assert mean_loss(many).item() == pytest.approx(1002 / 1001, rel=1e-6)
    exact = torch.rand(7, dtype=torch.float64)
    assert mean_loss(exact).dtype == torch.float64
    assert torch.equal(mean_loss(exact.float()), exact.float().mean())


def test_bfloat16_trains_about_as_float32_does_and_keeps_its_weights_in_float32(small, make_trial, run_alone):
    (_, exact), (end, rounded) = (
        run_alone(small, make_trial(precision=precision)) for precision in ("float32", "bfloat16")
    )
    assert end.outcome == "completed"
    weights = small.models[-1].state_dict()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32, torch.int64}
    for split in ("step", "validation"):
        one, other = losses(exact.rows, split), losses(rounded.rows, split)
        assert not torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


@needs_compiler
@pytest.mark.timeout(300)
@pytest.mark.parametrize("statistics", ["device", "ghost"])
def test_a_compiled_model_learns_the_same_and_keeps_its_names(small, make_trial, run_alone, statistics):
    values = {"batch_norm": statistics, "virtual_batch_size": 4}
    torch._dynamo.utils.counters.clear()
    (_, eager), (end, compiled) = (
        run_alone(small, make_trial(**values, compile=is_compiled)) for is_compiled in (False, True)
    )
    assert end.outcome == "completed"
    assert list(small.models[-1].state_dict()) == list(small.models[-2].state_dict())
    for split in ("step", "train", "validation"):
        torch.testing.assert_close(losses(eager.rows, split), losses(compiled.rows, split), rtol=1e-4, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    reset(1)  # as between two trials


def test_a_model_is_compiled_once_for_each_shape_of_batch(monkeypatch):
    """Code for any shape, which would come with a second shape, has other bits than code for one."""
    model = nn.Linear(3, 2)
    calls = []

    def counting(graph, inputs):
        calls.append([tuple(tensor.shape) for tensor in inputs if isinstance(tensor, torch.Tensor)])
        return graph.forward

    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda forward, **options: original(forward, backend=counting, **options))
    reset(1)
    compile_(model, Values({"compile": True}))
    for size in (4, 6, 4, 6, 5):
        assert model(torch.ones(size, 3)).shape == (size, 2)
    assert [shapes[-1] for shapes in calls] == [(4, 3), (6, 3), (5, 3)]
    reset(1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"precision": "float16"}, "precision must be one of float32, bfloat16, but got 'float16'"),
        ({"compile": 1}, "compile must be True or False, but got 1"),
    ],
)
def test_what_is_neither_is_one_sentence(small, make_trial, run_alone, values, words):
    with pytest.raises(SpecError, match=words):
        run_alone(small, make_trial(**values))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_bfloat16_keeps_weights_gradients_and_losses_in_float32():
    values = Values(dict(DigitsResNet().hyperparameters()) | {"precision": "bfloat16"})
    device = torch.device("cuda")
    model = DigitsResNet().model(values).to(device)
    batch = {"image": torch.rand(8, 1, 8, 8, device=device), "label": torch.arange(8, device=device)}
    with autocast(values, device):
        loss = mean_loss(DigitsResNet().loss(model, batch, values))
    loss.backward()
    assert loss.dtype == torch.float32
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}
