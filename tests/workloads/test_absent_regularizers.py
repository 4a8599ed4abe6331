"""A regularizer that does not exist beside a scientific value is absent: the bundled models train without it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raytune_playbook.train.update.optimizers import optimizer
from raytune_playbook.train.workload import Values
from raytune_playbook.workloads.digits import DigitsResNet
from raytune_playbook.workloads.tabular import BreastCancer
from raytune_playbook.workloads.text import StandardLibraryText

BATCHES = {
    "digits": (DigitsResNet(), {"image": torch.rand(4, 1, 8, 8), "label": torch.arange(4)}),
    "cancer": (BreastCancer(), {"row": torch.rand(4, 30), "label": torch.tensor([0, 1, 0, 1])}),
    "text": (StandardLibraryText(), {"text": torch.arange(4 * 65).reshape(4, 65) % 256}),
}


@pytest.mark.parametrize("name", BATCHES)
def test_sd5_sc4_regularizers_that_do_not_exist_are_as_strong_as_none(name):
    workload, batch = BATCHES[name]
    losses = []
    for strength in (None, 0.0, 0.5):
        values = Values(workload.hyperparameters() | {"dropout": strength, "label_smoothing": strength})
        torch.manual_seed(0)
        model = workload.model(values).train()
        torch.manual_seed(1)
        losses.append(workload.loss(model, batch, values).detach())
    absent, none, strong = losses
    assert torch.equal(absent, none)
    assert not torch.allclose(absent, strong)


def test_sd5_sc4_weight_decay_that_does_not_exist_decays_nothing():
    after = []
    for strength in (None, 0.0, 0.5):
        model = nn.Linear(2, 1)
        nn.init.constant_(model.weight, 3.0)
        values = Values(DigitsResNet().hyperparameters() | {"weight_decay": strength})
        model(torch.zeros(1, 2)).sum().backward()
        optimizer(model, values).update(0.1)
        after.append(model.weight.detach().clone())
    absent, none, strong = after
    assert torch.equal(absent, none)
    assert not torch.equal(absent, strong)
