"""How each kind of hyperparameter maps the unit interval onto its values, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pydantic
import pytest

from raytune_playbook.errors import InputError, SpaceError, SpecError
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int, finite_values

LAST = 1 - 2**-53
"""The largest coordinate of a point."""

UNITS = [0.0, 2**-53, *np.linspace(0.001, 0.999, 997).tolist(), LAST]

FLOATS = [
    Float(-3.0, 5.0),
    Float(1e-5, 10.0, scale="log"),
    Float(0.5, 0.9999, scale="log_one_minus"),
    Float(-1.0, 0.5, scale="log_one_minus"),
    Float(1.0, math.nextafter(1.0, 2.0), scale="log"),
]
INTS = [Int(-2, 5), Int(0, 1), Int(1, 8, scale="log"), Int(16, 300, scale="log"), Int(1, 1000, scale="log")]


@pytest.mark.parametrize("kind", FLOATS + INTS, ids=str)
def test_mapping_is_monotone_from_end_to_end(kind):
    values = [kind.from_unit(unit) for unit in UNITS]
    assert values == sorted(values)
    assert all(kind.low <= value <= kind.high for value in values)
    assert values[0] == pytest.approx(kind.low, rel=1e-14)
    assert values[-1] == pytest.approx(kind.high, rel=1e-14)


@pytest.mark.parametrize("unit", [0.0, 0.1, 1 / 3, 0.5, 0.875, LAST])
def test_qr1_float_scales_are_their_formulas(unit):
    assert Float(-3.0, 5.0).from_unit(unit) == pytest.approx(-3 + 8 * unit, rel=1e-14)
    assert Float(1e-4, 10.0, scale="log").from_unit(unit) == pytest.approx(10 ** (-4 + 5 * unit), rel=1e-13)
    crowded = Float(0.5, 0.999, scale="log_one_minus").from_unit(unit)
    assert 1 - crowded == pytest.approx(0.5 * (0.001 / 0.5) ** unit, rel=1e-12)


@pytest.mark.parametrize("kind", INTS, ids=str)
def test_int_reaches_every_value_and_nothing_else(kind):
    values = {kind.from_unit(unit) for unit in np.linspace(0, LAST, 200_000).tolist()}
    assert values == set(range(kind.low, kind.high + 1))
    assert all(type(value) is int for value in values)
    assert kind.num_values == kind.high - kind.low + 1


def test_int_linear_values_are_equally_likely():
    values = [Int(3, 6).from_unit((i + 0.5) / 400) for i in range(400)]
    assert [values.count(value) for value in (3, 4, 5, 6)] == [100] * 4


def test_int_log_value_owns_its_bin_on_the_log_axis():
    values = [Int(1, 7, scale="log").from_unit((i + 0.5) / 3000) for i in range(3000)]
    for value in range(1, 8):
        assert values.count(value) == pytest.approx(3000 * math.log2((value + 1) / value) / 3, abs=1)


@pytest.mark.parametrize("make", [Discrete, Categorical])
def test_listed_values_are_equally_likely_and_keep_their_order_and_type(make):
    kind = make([1, 2.5, 64])
    values = [kind.from_unit((i + 0.5) / 300) for i in range(300)]
    assert values == [1] * 100 + [2.5] * 100 + [64] * 100
    assert [type(value) for value in (values[0], values[150], values[-1])] == [int, float, int]
    assert kind.from_unit(LAST) == 64
    assert kind.num_values == 3


def test_categorical_keeps_what_json_tells_apart():
    choices = [None, True, 1, "1", 1.5, "none"]
    kind = Categorical(choices)
    assert [(type(choice), choice) for choice in kind.choices] == [(type(choice), choice) for choice in choices]


def test_numbers_of_numpy_become_pythons_own():
    for kind in (Discrete(np.array([16, 32])), Categorical(np.array([16, 32])), Discrete([np.int64(16), np.int32(32)])):
        assert [(type(value), value) for value in finite_values(kind)] == [(int, 16), (int, 32)]
    assert finite_values(Discrete(np.array([0.5, 1.0]))) == (0.5, 1.0)
    assert finite_values(Categorical([np.bool_(True), None])) == (True, None)


def test_finite_values():
    assert finite_values(Float(0, 1)) is None
    assert Float(0, 1).num_values is None
    assert finite_values(Int(2, 4)) == (2, 3, 4)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Float(1.0, 1.0), SpaceError, "Float: low < high must hold, but got low=1.0, high=1.0; swap"),
        (lambda: Int(5, 2), SpaceError, "Int: low < high must hold, but got low=5, high=2"),
        (lambda: Float(0.0, 1.0, scale="log"), SpaceError, "Float: a log scale needs low > 0"),
        (lambda: Float(-1.0, 1.0, scale="log"), SpaceError, "low=-1.0, high=1.0; raise low above zero"),
        (lambda: Int(0, 8, scale="log"), SpaceError, "Int: a log scale needs low > 0"),
        (lambda: Float(0.9, 1.0, scale="log_one_minus"), SpaceError, "needs high < 1"),
        (lambda: Int(1, 8, scale="log_one_minus"), SpecError, "Int.scale"),
        (lambda: Float(0.0, 1.0, scale="logarithmic"), SpecError, "Float.scale"),
        (lambda: Float("low", 1.0), SpecError, "Float.low"),
        (lambda: Float(math.nan, 1.0), SpecError, "Float.low"),
        (lambda: Float(0.0, math.inf), SpecError, "Float.high"),
        (lambda: Int(1.5, 3), SpecError, "Int.low"),
        (lambda: Float(0.0, 1.0, skale="log"), SpecError, "Float has no field 'skale'"),
        (lambda: Discrete([64, 32]), SpaceError, r"must rise strictly, but got \[64, 32\]; sort them"),
        (lambda: Discrete([32, 32]), SpaceError, "must rise strictly"),
        (lambda: Discrete([]), SpecError, "Discrete.values"),
        (lambda: Discrete(["large"]), SpecError, "Discrete.values.0: input should be of type int or float.*'large'"),
        (lambda: Discrete([1, math.nan]), SpecError, "Discrete.values.1: input should be a finite number"),
        (lambda: Discrete(64), SpaceError, "Discrete: a list of values is needed, but got 64"),
        (lambda: Categorical("ghost"), SpaceError, "Categorical: a list of values is needed, but got 'ghost'"),
        (lambda: Categorical(None), SpaceError, "Categorical: a list of values is needed"),
        (lambda: Categorical([]), SpecError, "Categorical.choices"),
        (lambda: Categorical(["a", "b", "a"]), SpaceError, "choices must differ.*name each once"),
        (lambda: Categorical([None, None]), SpaceError, "choices must differ"),
        (lambda: Categorical([["a"]]), SpecError, "Categorical.choices.0: input should be of type bool or int or"),
    ],
)
def test_bad_input_is_one_sentence(make, error, words):
    with pytest.raises(error, match=words) as caught:
        make()
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, pydantic.ValidationError)
    assert caught.value.__cause__ is None


def test_specifications_are_frozen():
    with pytest.raises(pydantic.ValidationError):
        Float(0, 1).low = 0.5
