"""Batch norm in one process (rules BN1, BN2 and BN4); `test_several_processes` has the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from raytune_playbook.errors import SpecError
from raytune_playbook.train.batch_norm import STATISTICS, BatchNorm, convert_batch_norm, synchronized_statistics
from raytune_playbook.train.group import Group

C = 3
TORCHS = [(nn.BatchNorm1d, ()), (nn.BatchNorm1d, (5,)), (nn.BatchNorm2d, (4, 4)), (nn.BatchNorm3d, (2, 3, 2))]


def inputs(num: int, shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(num, C, *shape, generator=generator, dtype=torch.float64) * 3 + 1).to(dtype)


def with_affine(layer: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return layer


def step(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Output, and the gradients of a loss that weighs every output differently."""
    x = x.clone().requires_grad_()
    y = layer(x)
    layer.zero_grad()
    (y * torch.sin(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)).sum().backward()
    return y.detach(), x.grad, layer.weight.grad.clone(), layer.bias.grad.clone()


def normalized(x: Tensor, by: Tensor, layer: BatchNorm) -> Tensor:
    """x normalized with the statistics of other examples, from the definition."""
    dims = [0, *range(2, by.dim())]
    shape = [1, C] + [1] * (x.dim() - 2)
    mean, var = by.mean(dims).view(shape), by.var(dims, correction=0).view(shape)
    return (x - mean) / (var + layer.eps).sqrt() * layer.weight.view(shape) + layer.bias.view(shape)


def assert_all_close(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float = 1e-12) -> None:
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("statistics", ["device", "sync"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("theirs", "shape"), TORCHS)
def test_bn1_one_device_is_torchs_own_bit_for_bit(theirs, shape, dtype, statistics):
    torchs = with_affine(theirs(C, eps=1e-3, momentum=0.2)).to(dtype)
    ours = with_affine(BatchNorm(C, eps=1e-3, momentum=0.2, statistics=statistics)).to(dtype)
    for seed in range(3):
        x = inputs(16, shape, dtype, seed)
        for a, b in zip(step(ours, x), step(torchs, x), strict=True):
            assert torch.equal(a, b)
    assert ours.state_dict().keys() == torchs.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), torchs.state_dict().values(), strict=True))
    assert torch.equal(ours.eval()(x), torchs.eval()(x))


@pytest.mark.parametrize(("num", "size"), [(8, 4), (12, 4), (64, 8)])
@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_bn2_each_ghost_group_has_statistics_of_exactly_the_virtual_size(num, size, shape):
    layer = with_affine(BatchNorm(C, statistics="ghost", virtual_batch_size=size)).double()
    x = inputs(num, shape)
    num_groups = num // size
    y, grad_x, grad_weight, grad_bias = step(layer, x)
    # Example n is in group n mod G; each group is what torch's own layer makes of it.
    leaf = x.clone().requires_grad_()
    expected = torch.empty_like(x)
    means, variances = [], []
    for group in range(num_groups):
        expected[group::num_groups] = normalized(leaf[group::num_groups], leaf[group::num_groups], layer)
        torchs = nn.BatchNorm2d(C) if shape else nn.BatchNorm1d(C)
        torchs.double()(x[group::num_groups])
        means.append(torchs.running_mean)
        variances.append(torchs.running_var)
    layer.zero_grad()
    (expected * torch.sin(torch.arange(x.numel(), dtype=x.dtype)).view_as(x)).sum().backward()
    assert_all_close((y, grad_x, grad_weight, grad_bias), (expected, leaf.grad, layer.weight.grad, layer.bias.grad))
    assert_all_close((layer.running_mean, layer.running_var), (sum(means) / num_groups, sum(variances) / num_groups))


@pytest.mark.parametrize(("num", "size"), [(5, 4), (7, 4), (11, 4), (9, 8), (15, 8)])
@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_bn2_the_remainder_is_normalized_by_the_last_examples_of_the_virtual_size(num, size, shape):
    layer = with_affine(BatchNorm(C, statistics="ghost", virtual_batch_size=size)).double()
    alone = copy.deepcopy(layer)
    x = inputs(num, shape)
    num_groups, rest = divmod(num, size)
    y = step(layer, x)[0]
    assert torch.equal(y[:-rest], step(alone, x[:-rest])[0])
    assert_all_close((y[-rest:],), (normalized(x[-rest:], x[-size:], layer).detach(),))
    # The remainder's statistics overlap with those of the groups and are left out of the running averages.
    assert_all_close((layer.running_mean, layer.running_var), (alone.running_mean, alone.running_var))
    assert num_groups == num // size


def test_bn2_gradients_of_the_remainder_flow_into_the_examples_that_normalize_it():
    layer = with_affine(BatchNorm(C, statistics="ghost", virtual_batch_size=4)).double()
    x = inputs(6).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))
    layer(x)[-1].sum().backward()
    assert (x.grad[:2] == 0).all()
    assert (x.grad[2:] != 0).any(1).all()


def test_bn2_ghost_of_the_devices_own_size_is_the_devices_arithmetic():
    ghost, device = BatchNorm(C, statistics="ghost", virtual_batch_size=16), BatchNorm(C)
    x = inputs(16, (2, 2), torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(step(ghost, x), step(device, x), strict=True))
    assert torch.equal(ghost.running_var, device.running_var)


def test_bn2_evaluation_uses_running_averages_whatever_the_batch():
    layer = with_affine(BatchNorm(C, statistics="ghost", virtual_batch_size=4)).double()
    step(layer, inputs(10))
    before = copy.deepcopy(layer.state_dict())
    layer.eval()
    x = inputs(7)
    expected = (x - layer.running_mean) / (layer.running_var + layer.eps).sqrt() * layer.weight + layer.bias
    assert_all_close((layer(x),), (expected,))
    assert_all_close((layer(x[:1]),), (expected[:1],))
    assert all(torch.equal(a, b) for a, b in zip(before.values(), layer.state_dict().values(), strict=True))


@pytest.mark.parametrize(("num", "size"), [(8, 16), (8, 9), (8, 64)])
def test_bn2_a_ghost_batch_larger_than_the_device_batch_needs_the_workers_for_it(num, size):
    layer = BatchNorm(C, statistics="ghost", virtual_batch_size=size)
    with pytest.raises(SpecError, match=f"but got {size} with {num} examples on each of 1 workers"):
        layer(inputs(num, dtype=torch.float32))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"statistics": "gohst"}, "batch_norm must be one of device, sync, ghost, but got 'gohst'"),
        ({"statistics": "ghost", "virtual_batch_size": 0}, "virtual_batch_size must be at least 1, but got 0"),
        ({"statistics": "device", "virtual_batch_size": -64}, "virtual_batch_size must be at least 1"),
    ],
)
def test_bad_choices_are_one_sentence(fields, words):
    with pytest.raises(SpecError, match=words):
        BatchNorm(C, **fields)
    with pytest.raises(SpecError, match=words):
        convert_batch_norm(nn.Linear(1, 1), **fields)  # also where there is nothing to convert


def test_bn4_the_default_virtual_batch_size_is_64():
    assert BatchNorm(C).virtual_batch_size == 64


class Nested(nn.Module):
    """Batch norm at several depths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, C, 3), nn.BatchNorm2d(C, eps=1e-2, momentum=0.3))
        self.deep = nn.ModuleList([nn.Sequential(nn.ReLU(), nn.BatchNorm2d(C))])
        self.head = nn.Linear(C, 2)
        self.last = nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.head(self.deep[0](self.stem(x)).mean((2, 3))))


@pytest.mark.parametrize("statistics", STATISTICS)
def test_bn1_converting_a_model_keeps_its_weights_and_names(statistics):
    torch.manual_seed(0)
    model = with_affine(Nested())
    model(torch.randn(8, 1, 6, 6))
    before = copy.deepcopy(model)
    group = Group()
    converted = convert_batch_norm(model, statistics=statistics, virtual_batch_size=8, group=group)
    layers = [module for module in converted.modules() if isinstance(module, BatchNorm)]
    assert len(layers) == 3
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in converted.modules())
    assert {(layer.statistics, layer.virtual_batch_size) for layer in layers} == {(statistics, 8)}
    assert all(layer.group is group for layer in layers)
    assert (layers[0].eps, layers[0].momentum) == (1e-2, 0.3)
    assert converted.state_dict().keys() == before.state_dict().keys()
    for name, tensor in before.state_dict().items():
        assert torch.equal(converted.state_dict()[name], tensor), name
    x = torch.randn(8, 1, 6, 6)
    assert torch.equal(converted.train()(x), before.train()(x))  # one worker and N = V: all three are alike
    assert torch.equal(converted.eval()(x), before.eval()(x))


def test_bn1_converting_again_changes_the_statistics_alone():
    model = convert_batch_norm(with_affine(Nested()), statistics="sync")
    again = convert_batch_norm(model, statistics="ghost", virtual_batch_size=4)
    assert {layer.statistics for layer in again.modules() if isinstance(layer, BatchNorm)} == {"ghost"}
    assert torch.equal(again.last.weight, with_affine(Nested()).last.weight)


def test_bn1_a_model_that_is_a_batch_norm_itself_and_other_dtypes():
    converted = convert_batch_norm(nn.BatchNorm1d(C).double(), statistics="device")
    assert isinstance(converted, BatchNorm)
    assert converted.running_mean.dtype == converted.weight.dtype == torch.float64
    assert converted.num_batches_tracked.dtype == torch.int64


@pytest.mark.parametrize("fields", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_bn1_what_cannot_be_converted_is_refused(fields):
    with pytest.raises(SpecError, match="affine batch norm with running averages and a momentum is needed"):
        convert_batch_norm(nn.Sequential(nn.BatchNorm1d(C, **fields)), statistics="device")


def test_bn3_alone_the_own_running_averages_are_everybodys():
    layer = BatchNorm(C)
    layer(inputs(8, dtype=torch.float32))
    before = layer.running_mean.clone()
    with synchronized_statistics(nn.Sequential(layer), Group()):
        assert torch.equal(layer.running_mean, before)
    assert torch.equal(layer.running_mean, before)
