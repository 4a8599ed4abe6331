"""Batch norm in one process (rules BN1, BN2 and BN4); `test_several_processes` has the rest."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from raytune_playbook import Budget, Discrete, Float, Round
from raytune_playbook.errors import SpecError
from raytune_playbook.search.suggest import suggest
from raytune_playbook.train.batch_norm import STATISTICS, BatchNorm, convert_batch_norm
from raytune_playbook.train.group import Group
from raytune_playbook.workloads.digits import DigitsResNet

C = 3
TORCHS = [(nn.BatchNorm1d, ()), (nn.BatchNorm1d, (5,)), (nn.BatchNorm2d, (4, 4)), (nn.BatchNorm3d, (2, 3, 2))]


def batch_norm(
    num: int, statistics: str = "device", virtual_batch_size: int = 64, group: Group | None = None, **fields
):
    """Ours, for inputs of any number of dimensions."""
    theirs = nn.SyncBatchNorm(num, **fields)
    return convert_batch_norm(theirs, statistics=statistics, virtual_batch_size=virtual_batch_size, group=group)


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
    ours = with_affine(batch_norm(C, eps=1e-3, momentum=0.2, statistics=statistics)).to(dtype)
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
    layer = with_affine(batch_norm(C, statistics="ghost", virtual_batch_size=size)).double()
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
    layer = with_affine(batch_norm(C, statistics="ghost", virtual_batch_size=size)).double()
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
    layer = with_affine(batch_norm(C, statistics="ghost", virtual_batch_size=4)).double()
    x = inputs(6).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))
    layer(x)[-1].sum().backward()
    assert (x.grad[:2] == 0).all()
    assert (x.grad[2:] != 0).any(1).all()


def test_bn2_ghost_of_the_devices_own_size_is_the_devices_arithmetic():
    ghost, device = batch_norm(C, statistics="ghost", virtual_batch_size=16), batch_norm(C)
    x = inputs(16, (2, 2), torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(step(ghost, x), step(device, x), strict=True))
    assert torch.equal(ghost.running_var, device.running_var)


def test_bn2_evaluation_uses_running_averages_whatever_the_batch():
    layer = with_affine(batch_norm(C, statistics="ghost", virtual_batch_size=4)).double()
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
    layer = batch_norm(C, statistics="ghost", virtual_batch_size=size)
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
        convert_batch_norm(nn.Linear(1, 1), **fields)  # though there is nothing to convert


def test_bn4_the_default_virtual_batch_size_is_64():
    layer = convert_batch_norm(nn.BatchNorm1d(C), statistics="ghost").double()
    assert_all_close((step(layer, inputs(128))[0],), (step(batch_norm(C, "ghost", 64).double(), inputs(128))[0],))
    with pytest.raises(SpecError, match="but got 64 with 32 examples"):
        layer(inputs(32))


def test_bn4_the_virtual_batch_size_is_held_fixed_when_batch_sizes_are_compared():
    round_ = Round(
        name="sizes",
        goal="Which batch size needs the fewest steps?",
        workload=DigitsResNet(),
        scientific={"batch_size": Discrete([64, 256])},
        nuisance={"learning_rate": Float(0.01, 1.0, scale="log")},
        fixed={"batch_norm": "ghost"},
        budget=Budget(num_trials=4, max_train_steps=10, evaluation_interval_steps=5),
    )
    trials = [suggest(study, index) for study in round_.studies for index in range(2)]
    assert {trial.values["batch_size"] for trial in trials} == {64, 256}
    assert {trial.values["virtual_batch_size"] for trial in trials} == {64}


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
def test_bn1_converting_a_model_changes_nothing_but_its_statistics(statistics):
    torch.manual_seed(0)
    model = with_affine(Nested())
    model(torch.randn(8, 1, 6, 6))
    before, layers = copy.deepcopy(model), [model.stem[1], model.deep[0][1], model.last]
    converted = convert_batch_norm(model, statistics=statistics, virtual_batch_size=8, group=Group())
    assert converted is model
    assert [model.stem[1], model.deep[0][1], model.last] == layers
    assert all(isinstance(layer, BatchNorm) for layer in layers)
    assert [type(layer).__name__ for layer in layers] == ["BatchNorm2d", "BatchNorm2d", "BatchNorm1d"]
    assert [name for name, _ in converted.named_parameters()] == [name for name, _ in before.named_parameters()]
    assert converted.state_dict().keys() == before.state_dict().keys()
    for name, tensor in before.state_dict().items():
        assert torch.equal(converted.state_dict()[name], tensor), name
    x = torch.randn(8, 1, 6, 6)
    assert torch.equal(converted.train()(x), before.train()(x))  # one worker and N = V: all three are alike
    assert torch.equal(converted.eval()(x), before.eval()(x))


def test_bn1_converting_again_changes_the_statistics_alone():
    model = convert_batch_norm(with_affine(Nested()), statistics="sync")
    x, first = torch.randn(8, 1, 6, 6), copy.deepcopy(model)
    again = convert_batch_norm(model, statistics="ghost", virtual_batch_size=4)
    ghost = convert_batch_norm(with_affine(Nested()), statistics="ghost", virtual_batch_size=4)
    ghost.load_state_dict(first.state_dict())
    assert torch.equal(again(x), ghost(x))
    assert not torch.equal(again(x), first(x))


def test_bn1_a_model_that_is_a_batch_norm_itself_and_other_dtypes():
    layer = nn.BatchNorm1d(C).double().eval()
    assert convert_batch_norm(layer, statistics="device") is layer
    assert layer.running_mean.dtype == layer.weight.dtype == torch.float64
    assert not layer.training
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        layer(torch.ones(2, C, 2, 2).double())


class Tied(nn.Module):
    """A layer that is used twice, one that is tied to it by its weight, and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.BatchNorm1d(C)
        self.two = self.one
        self.other = nn.BatchNorm1d(C)
        self.other.weight = self.one.weight
        self.other.running_mean = self.one.running_mean
        self.frozen = nn.BatchNorm1d(C).requires_grad_(False)
        self.listed = [self.one]

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(self.other(self.two(self.one(x))))


@pytest.mark.parametrize("statistics", STATISTICS)
def test_bn1_a_layer_that_is_used_twice_tied_or_frozen_is_so_after_it(statistics):
    model, before = Tied(), Tied()
    convert_batch_norm(model, statistics=statistics, virtual_batch_size=4)
    assert model.one is model.two is model.listed[0]
    assert model.other.weight is model.one.weight
    assert model.other.running_mean is model.one.running_mean
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"one.weight", "one.bias", "other.bias"}
    x = inputs(4, dtype=torch.float32)
    assert torch.equal(model(x), before(x))
    model(x).sum().backward()
    assert model.frozen.weight.grad is None
    assert model.one.num_batches_tracked == 4  # twice in either pass


@pytest.mark.parametrize("statistics", STATISTICS)
def test_bn1_hooks_and_attributes_of_a_layer_stay(statistics):
    layer, ran = nn.BatchNorm1d(C), []
    layer.note = "kept"
    layer.register_forward_pre_hook(lambda module, args: ran.append("before"))
    layer.register_forward_hook(lambda module, args, y: ran.append("after") or y + 1)
    layer.register_full_backward_hook(lambda module, grads, of_output: ran.append("backward"))
    layer.register_state_dict_post_hook(
        lambda module, state, prefix, metadata: state.update({prefix + "more": state[prefix + "bias"]})
    )
    layer.weight.register_hook(lambda grad: ran.append("weight"))
    handle = layer.register_forward_pre_hook(lambda module, args: ran.append("removed"))
    convert_batch_norm(nn.Sequential(layer), statistics=statistics, virtual_batch_size=8)
    handle.remove()
    x = inputs(8, dtype=torch.float32).requires_grad_()
    y = layer(x)
    assert torch.equal(y, nn.BatchNorm1d(C)(x) + 1)
    y.square().sum().backward()
    assert sorted(ran) == ["after", "backward", "before", "weight"]
    assert layer.note == "kept"
    assert "more" in layer.state_dict()


class Activated(nn.BatchNorm2d):
    """Batch norm and what follows it, in one layer."""

    def __init__(self, num: int) -> None:
        super().__init__(num)
        self.after = nn.Sequential(nn.BatchNorm2d(num), nn.ReLU())

    def forward(self, x: Tensor, shift: float = 0.0) -> Tensor:
        return self.after(super().forward(x)) + shift


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


@pytest.mark.parametrize("statistics", STATISTICS)
def test_bn1_a_subclass_keeps_its_own_forward_and_normalizes_as_it_is_told(statistics):
    layer, x = Activated(C), inputs(8, (2, 2), torch.float32)
    before = copy.deepcopy(layer)
    convert_batch_norm(nn.Sequential(layer), statistics=statistics, virtual_batch_size=4)
    parts = nn.Sequential(nn.BatchNorm2d(C), nn.BatchNorm2d(C), nn.ReLU())
    convert_batch_norm(parts, statistics=statistics, virtual_batch_size=4)
    assert torch.equal(layer(x, shift=1.0), parts(x) + 1)
    assert torch.equal(layer.running_var, parts[0].running_var)
    assert torch.equal(layer.eval()(x, shift=1.0), parts.eval()(x) + 1)
    assert isinstance(layer, Activated)
    assert torch.equal(before(x, shift=1.0), layer.train()(x, shift=1.0)) == (statistics != "ghost")


@pytest.mark.parametrize("statistics", STATISTICS)
def test_bn1_a_parametrized_layer_stays_one(statistics):
    layer, x = nn.BatchNorm1d(C), inputs(8, dtype=torch.float32)
    parametrize.register_parametrization(layer, "weight", Doubled())
    convert_batch_norm(nn.Sequential(layer), statistics=statistics, virtual_batch_size=8)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
    assert torch.equal(layer(x), 2 * nn.BatchNorm1d(C)(x))
    layer(x)[:, 0].square().sum().backward()
    assert layer.parametrizations.weight.original.grad[0] != 0
    later = nn.Sequential(nn.BatchNorm1d(C))
    convert_batch_norm(later, statistics=statistics, virtual_batch_size=8)
    parametrize.register_parametrization(later[0], "weight", Doubled())
    assert torch.equal(later(x), 2 * nn.BatchNorm1d(C)(x))


@pytest.mark.parametrize("statistics", ["device", "sync"])
def test_bn1_torchs_synchronized_batch_norm_takes_its_statistics_from_where_it_is_told(statistics):
    model = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm2d(C), nn.ReLU()))
    convert_batch_norm(model, statistics=statistics)
    assert isinstance(model[0], BatchNorm)
    x = inputs(8, (2, 2), torch.float32)
    assert torch.equal(model(x), nn.Sequential(nn.BatchNorm2d(C), nn.ReLU())(x))


@pytest.mark.parametrize(("num", "size"), [(16, 16), (16, 4), (15, 4)])
@pytest.mark.parametrize("statistics", STATISTICS)
def test_bn1_without_weight_and_bias(num, size, statistics):
    x = inputs(num, (2,))
    plain = batch_norm(C, statistics, size, affine=False).double()
    affine = batch_norm(C, statistics, size).double()
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, expected = plain(leaf), affine(other)
    assert torch.equal(y, expected)
    weights = torch.sin(torch.arange(x.numel(), dtype=x.dtype)).view_as(x)
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(leaf.grad, other.grad)
    assert torch.equal(plain.running_var, affine.running_var)
    assert list(plain.parameters()) == []


@pytest.mark.parametrize("statistics", ["device", "sync"])
def test_bn1_without_a_momentum_running_averages_are_means_over_all_batches(statistics):
    layer, torchs = batch_norm(C, statistics, momentum=None).double(), nn.BatchNorm1d(C, momentum=None).double()
    for seed in range(5):
        x = inputs(16, (3,), seed=seed)
        assert torch.equal(step(layer, x)[0], step(torchs, x)[0])
    assert_all_close((layer.running_mean, layer.running_var), (torchs.running_mean, torchs.running_var))
    assert layer.num_batches_tracked == 5
    assert torch.allclose(
        layer.running_mean, torch.stack([inputs(16, (3,), seed=i).mean((0, 2)) for i in range(5)]).mean(0)
    )


def test_bn2_without_a_momentum_ghost_batches_count_alike():
    layer = batch_norm(C, "ghost", 4, momentum=None).double()
    for seed in range(3):
        layer(inputs(8, seed=seed))
    parts = [inputs(8, seed=seed)[group::2] for seed in range(3) for group in range(2)]
    mean, var = (torch.stack(each).mean(0) for each in ([p.mean(0) for p in parts], [p.var(0) for p in parts]))
    assert_all_close((layer.running_mean, layer.running_var), (mean, var))


class Apart(nn.BatchNorm2d):
    """Normalizes by itself, where no one can say by which statistics."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, None, None, self.weight, self.bias, training=True).relu()


class Synchronizing(nn.SyncBatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return x


def patched() -> nn.Module:
    layer = nn.BatchNorm2d(C)
    layer.forward = functools.partial(nn.BatchNorm2d.forward, layer)
    return layer


REFUSED = [
    (lambda: nn.BatchNorm2d(C, track_running_stats=False), STATISTICS, "batch norm must have running averages"),
    (nn.LazyBatchNorm2d, STATISTICS, "batch norm must know its num_features, but 1 is a LazyBatchNorm2d"),
    (lambda: nn.LazyBatchNorm2d(affine=False, track_running_stats=False), STATISTICS, "must know its num_features"),
    (lambda: Apart(C), ("sync", "ghost"), r"a layer \(Apart\) normalizes without super\(\)\.forward"),
    (lambda: Synchronizing(C), STATISTICS, r"a layer \(Synchronizing\) normalizes without super\(\)\.forward"),
    (patched, ("sync", "ghost"), r"1 \(BatchNorm2d\) has a forward of its own"),
    (lambda: torch.jit.script(nn.BatchNorm2d(C)), ("sync", "ghost"), "was compiled by torch.jit"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Lazy modules")
@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize(("make", "refused", "words"), REFUSED)
def test_bn1_what_cannot_have_other_statistics_is_refused_in_a_sentence(make, refused, words, statistics):
    model, x = nn.Sequential(nn.Identity(), make()), inputs(8, (2, 2), torch.float32)
    if statistics not in refused:
        expected = copy.deepcopy(model)(x)
        assert torch.equal(convert_batch_norm(model, statistics=statistics)(x), expected)
        return
    with pytest.raises(SpecError, match=words):
        convert_batch_norm(model, statistics=statistics, virtual_batch_size=8)(x)


def test_bn1_a_lazy_layer_that_has_seen_a_batch_is_any_other():
    model, x = nn.Sequential(nn.LazyBatchNorm1d()), inputs(8, dtype=torch.float32)
    model(x)
    expected = copy.deepcopy(model)(x)
    assert torch.equal(convert_batch_norm(model, statistics="sync")(x), expected)


def test_a_converted_model_can_be_copied():
    group = Group(process_group=None)
    model = convert_batch_norm(nn.Sequential(Activated(C)), statistics="sync", group=group)
    other = copy.deepcopy(model)
    x = inputs(8, (2, 2), torch.float32)
    assert torch.equal(other(x), model(x))
    assert other[0].running_mean is not model[0].running_mean
    assert copy.deepcopy(group) is group
