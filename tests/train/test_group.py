"""A lone worker's group, and all gradients in one buffer."""

from __future__ import annotations

import math
import subprocess
import sys

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


WORKER = """
import sys
from datetime import timedelta
import torch, torch.distributed as dist
from raytune_playbook.train.group import Group

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(minutes=10))
group = Group(rank=rank, size=2, process_group=dist.group.WORLD)
group.sum_(torch.ones(1))
print("ready", flush=True)
if rank == 0:
    group.set_timeout(0.5)
    try:
        group.sum_(torch.ones(1))
    except RuntimeError:
        print("timed out", flush=True)
sys.stdin.read()
"""


def test_a_collective_that_others_leave_out_raises_after_the_timeout_that_was_set_last(tmp_path):
    """torch's private `_set_pg_timeout` holds for the collectives that follow, of a group that has talked before."""
    Group().set_timeout(0.1)  # a lone worker waits for nobody
    command = [sys.executable, "-c", WORKER]
    workers = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    try:
        assert [worker.stdout.readline() for worker in workers] == [b"ready\n"] * 2
        assert workers[0].stdout.readline() == b"timed out\n"  # else the test's own deadline is over before it comes
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
