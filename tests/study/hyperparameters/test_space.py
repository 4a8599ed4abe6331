"""How many points a space has."""

from __future__ import annotations

import pytest

from raytune_playbook.search.sequences import point_of
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int
from raytune_playbook.study.hyperparameters.space import MAX_SMALL, num_points


@pytest.mark.parametrize(
    ("space", "number"),
    [
        ({}, 1),
        ({"a": Int(1, 9), "b": Categorical(["x", None]), "c": Discrete([1, 2.5])}, 36),
        ({"a": Int(1, MAX_SMALL)}, MAX_SMALL),
        ({"a": Int(1, MAX_SMALL + 1)}, None),
        ({"a": Int(1, 64), "b": Int(1, 64)}, 4096),
        ({"a": Int(1, 64), "b": Int(1, 65)}, None),
        ({"a": Float(0, 1)}, None),
        ({"a": Int(1, 2), "b": Float(0, 1)}, None),
    ],
)
def test_qr4_a_finite_space_has_an_end_up_to_a_bound(space, number):
    assert num_points(space) == number


def test_qr4_a_larger_space_is_a_sequence_without_end():
    space = {"a": Int(1, 64), "b": Int(1, 65)}
    values = {tuple(point_of(space, "halton", 0, index).values()) for index in (0, 64 * 65, 10**9, 10**9 + 1)}
    assert len(values) > 1
