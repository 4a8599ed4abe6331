"""Clipping by global norm (rule UN6)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from raytune_playbook.errors import SpecError
from raytune_playbook.train.group import FlatGradients, Group
from raytune_playbook.train.update.clipping import clipping_factor, clipping_threshold
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Values


@pytest.mark.parametrize("threshold", [1e-6, 0.5, 100.0])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_un6_the_gradient_is_scaled_to_the_threshold_or_left_alone(scale, threshold):
    model = nn.Linear(3, 4).double()
    gradients = FlatGradients(model, Group())
    given = [torch.randn(p.shape, dtype=torch.float64) * scale for p in model.parameters()]
    for parameter, grad in zip(model.parameters(), given, strict=True):
        parameter.grad.copy_(grad)
    full = np.concatenate([grad.numpy().ravel() for grad in given])
    norm = gradients.norm()
    assert norm.item() == pytest.approx(np.linalg.norm(full), rel=1e-14)
    gradients.scale_(clipping_factor(norm, threshold))
    for parameter, grad in zip(model.parameters(), given, strict=True):
        if np.linalg.norm(full) > threshold:
            torch.testing.assert_close(parameter.grad, threshold * grad / np.linalg.norm(full), rtol=1e-13, atol=0)
        else:
            assert torch.equal(parameter.grad, grad)


def test_un6_a_gradient_of_zero_is_left_alone():
    assert clipping_factor(torch.tensor(0.0), 0.1) == 1


def test_un2_to_clip_never_waits_for_the_device():
    """A meta tensor has no numbers: to fetch one raises."""
    assert clipping_factor(torch.empty((), device="meta"), 0.1).shape == ()


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_bad_thresholds_are_one_sentence(value):
    with pytest.raises(SpecError, match=r"clipping_norm must be above 0, but got .*; use None for no clipping"):
        clipping_threshold(Values(TRAINING_DEFAULTS | {"clipping_norm": value}))


def test_no_clipping_is_the_default():
    assert clipping_threshold(Values(TRAINING_DEFAULTS)) is None
    assert clipping_threshold(Values(TRAINING_DEFAULTS | {"clipping_norm": 2})) == 2.0
