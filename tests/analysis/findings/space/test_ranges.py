"""Rule IN1: ranges are widened on their own scale, and never beyond what a hyperparameter means."""

from __future__ import annotations

import pytest

from raytune_playbook.analysis.findings.space.ranges import at_limit, cut, narrowed, on_log_scale, range_text, widened
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int

LOG = Float(1e-3, 0.1, scale="log")
MOMENTUM = Float(0.5, 0.99, scale="log_one_minus")


@pytest.mark.parametrize(
    ("name", "given", "upward", "expected"),
    [
        ("learning_rate", LOG, True, (1e-3, 1.0)),
        ("learning_rate", LOG, False, (1e-4, 0.1)),
        ("learning_rate", Float(1e-6, 1.0, scale="log"), True, (1e-6, 10.0)),  # a decade at most
        ("learning_rate", Float(0.1, 0.2, scale="log"), True, (0.1, 0.4)),  # at least twice
        ("momentum", MOMENTUM, True, (0.5, 0.999)),
        ("momentum", MOMENTUM, False, (0.0, 0.99)),
        ("dropout", Float(0.0, 0.4), True, (0.0, 0.6)),
        ("dropout", Float(0.0, 0.8), True, (0.0, 0.9)),
        ("dropout", Float(0.1, 0.4), False, (0.0, 0.4)),
        ("shift", Float(-1.0, 1.0), False, (-2.0, 1.0)),
        ("depth", Int(2, 6), True, (2, 8)),
        ("depth", Int(2, 6), False, (1, 6)),
        ("width", Int(16, 256, scale="log"), True, (16, 1024)),
    ],
)
def test_in1_a_range_is_widened_on_its_scale(
    name: str, given: Float | Int, upward: bool, expected: tuple[float, float]
) -> None:
    found = widened(name, given, upward=upward)
    assert isinstance(found, Float | Int)
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.scale == given.scale


@pytest.mark.parametrize(
    ("name", "given", "upward"),
    [
        ("dropout", Float(0.0, 0.4), False),
        ("weight_decay", Float(0.0, 0.1), False),
        ("adam.beta1", Float(0.0, 0.999, scale="log_one_minus"), False),
        ("keep", Float(0.5, 1.0), True),
        ("depth", Int(1, 6), False),
        ("shifted", Int(0, 6), False),
        ("kind", Categorical(["a", "b", "c"]), True),
        ("learning_rate", Float(1e-12, 1.0, scale="log"), False),
        ("scale", Float(1.0, 1e12, scale="log"), True),
    ],
)
def test_in1_nothing_is_widened_beyond_its_natural_limit(name: str, given: Hyperparameter, upward: bool) -> None:
    assert at_limit(name, given, upward=upward)
    assert widened(name, given, upward=upward) is None


@pytest.mark.parametrize(
    ("values", "upward", "expected"),
    [
        ([16, 32, 64], True, (16, 32, 64, 128)),
        ([16, 32, 64], False, (8, 16, 32, 64)),
        ([1, 2, 3], True, (1, 2, 3, 4)),
        ([0.1, 0.2, 0.3], True, (0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_in1_a_list_of_numbers_goes_on_as_it_is(values: list[float], upward: bool, expected: tuple[float, ...]) -> None:
    found = widened("width", Discrete(values), upward=upward)
    assert isinstance(found, Discrete)
    assert found.values == pytest.approx(expected)


def test_in1_conditions_stay() -> None:
    given = Float(1e-3, 0.1, scale="log", when={"optimizer": "adam"})
    found = widened("adam.learning_rate", given, upward=True)
    assert found is not None
    assert found.when == given.when


def test_in3_a_range_is_cut_or_goes_over_to_a_log_scale() -> None:
    assert cut(LOG, 0.5, upward=True) == Float(1e-3, 0.01, scale="log")
    assert cut(LOG, 0.5, upward=False) == Float(0.01, 0.1, scale="log")
    assert cut(LOG, 0.0, upward=True) is None
    assert on_log_scale(Float(0.0, 1.0), 0.1) == Float(1e-4, 0.1, scale="log")
    assert narrowed(LOG, 0.25, 0.75) == Float(0.0032, 0.032, scale="log")


def test_ranges_are_written_with_the_digits_that_they_need() -> None:
    assert range_text(Float(0.5, 0.9999, scale="log_one_minus")) == "0.5 to 0.9999 (log scale in 1 - value)"
    assert range_text(LOG) == "0.001 to 0.1 (log scale)"
    assert range_text(Int(1, 8)) == "1 to 8"
    assert range_text(Discrete([16, 32])) == "16, 32"
