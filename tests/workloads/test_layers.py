"""Choices of the bundled models by name, of which none stands for another (rule BN5)."""

from __future__ import annotations

import pytest
from torch import nn

from raytune_playbook.workloads.layers import feature_norm, image_norm

NORMS = {
    image_norm: {"none": nn.Identity, "batch": nn.BatchNorm2d, "layer": nn.GroupNorm},
    feature_norm: {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm},
}


@pytest.mark.parametrize("make", NORMS)
def test_bn5_a_normalization_is_what_it_is_called_and_an_unknown_one_is_none_of_them(make):
    for name, layer in NORMS[make].items():
        assert type(make(name, 4)) is layer
    with pytest.raises(KeyError, match="instance"):
        make("instance", 4)
