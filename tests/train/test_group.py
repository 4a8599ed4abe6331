"""A lone worker's group, and all gradients in one buffer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from raytune_playbook.train.group import FlatGradients, Group, require_equal


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def test_a_lone_worker_talks_to_nobody():
    group, x = Group(), torch.arange(3.0)
    assert torch.equal(group.sum_(x.clone()), x)
    assert torch.equal(group.gather(x)[0], x)
    assert group.subgroups(4) is group
    require_equal("x", [x], group)


def test_un2_norm_is_that_of_the_full_gradient():
    net = model()
    gradients = FlatGradients(net, Group())
    net(torch.ones(5, 3)).square().sum().backward()
    parts = [parameter.grad.double().norm().item() ** 2 for parameter in net.parameters()]
    assert gradients.norm().item() == pytest.approx(math.sqrt(sum(parts)), rel=1e-6)


def test_gradients_are_those_of_autograd_step_after_step():
    net, plain = model(), model()
    gradients = FlatGradients(net, Group())
    for step in range(3):
        x = torch.full((5, 3), float(step + 1))
        gradients.zero_()
        net(x).square().mean().backward()
        plain.zero_grad()
        plain(x).square().mean().backward()
        scalars = gradients.average(torch.tensor(0.5), 7.0)
        assert scalars.tolist() == [0.5, 7.0]
        for a, b in zip(net.parameters(), plain.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
    gradients.scale_(torch.tensor(0.25))
    for a, b in zip(net.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad * 0.25)


def test_scalars_do_not_enter_the_norm_nor_the_next_step():
    net = model()
    gradients = FlatGradients(net, Group())
    first = gradients.average(1e6, 1.0)
    assert gradients.norm().item() == 0.0
    gradients.zero_()
    gradients.average(0.0, 0.0)
    assert first.tolist() == [1e6, 1.0]


def test_a_parameter_that_the_loss_does_not_use_has_a_gradient_of_zero():
    net = model()
    gradients = FlatGradients(net, Group())
    net[0](torch.ones(1, 3)).sum().backward()
    assert gradients.norm().item() > 0
    assert all((parameter.grad == 0).all() for parameter in net[2].parameters())


def test_parameters_of_several_dtypes_are_refused():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(TypeError, match=r"of one dtype, but they are of torch.float32, torch.float64"):
        FlatGradients(net, Group())
