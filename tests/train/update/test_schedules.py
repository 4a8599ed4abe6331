"""Learning rate schedules as exact formulas of the step (rules SC1 and ST6)."""

from __future__ import annotations

import math

import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.train.update.schedules import SCHEDULES, schedule, total_steps
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Values


def rates(max_train_steps: int, **values: object) -> list[float]:
    given = Values(TRAINING_DEFAULTS | {"learning_rate": 0.4} | values)
    rate = schedule(given, max_train_steps)
    return [rate(step) for step in range(total_steps(given, max_train_steps))]


def test_st6_a_first_configuration_has_a_constant_rate():
    assert rates(5) == [0.4] * 5


def test_sc1_linear_decays_over_all_steps_to_the_final_factor():
    assert rates(8, schedule="linear") == pytest.approx([0.4 * (1 - step / 8) for step in range(8)], rel=1e-15)
    expected = [0.4 + (0.1 - 0.4) * step / 8 for step in range(8)]
    assert rates(8, schedule="linear", final_factor=0.25) == pytest.approx(expected, rel=1e-14)


def test_sc1_linear_is_constant_until_its_decay():
    found = rates(10, schedule="linear", decay_steps=4, final_factor=0.5)
    assert found[:7] == [0.4] * 7  # the decay starts from the full rate at step 6
    assert found[7:] == pytest.approx([0.4 * (0.5 + 0.5 * left / 4) for left in (3, 2, 1)], rel=1e-15)


def test_sc1_cosine():
    expected = [0.4 * (1 + math.cos(math.pi * step / 20)) / 2 for step in range(20)]
    assert rates(20, schedule="cosine") == pytest.approx(expected, rel=1e-13)
    expected = [0.1 + 0.3 * (1 + math.cos(math.pi * step / 20)) / 2 for step in range(20)]
    assert rates(20, schedule="cosine", final_factor=0.25) == pytest.approx(expected, rel=1e-13)


def test_sc1_cosine_is_constant_until_its_decay():
    found = rates(10, schedule="cosine", decay_steps=4, final_factor=0.5)
    assert found[:7] == [0.4] * 7
    expected = [0.2 + 0.2 * height for height in ((1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2)]
    assert found[7:] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_sc1_the_final_factor_is_reached_right_after_the_last_step(kind):
    given = Values(TRAINING_DEFAULTS | {"learning_rate": 0.5, "schedule": kind, "final_factor": 0.25})
    assert schedule(given, 10)(10) == 0.125
    assert schedule(Values({**given, "final_factor": 1.0}), 10)(7) == 0.5


@pytest.mark.parametrize("kind", SCHEDULES)
def test_sc1_a_rate_depends_on_the_step_alone(kind):
    """Not on which steps were asked for before: a resumed trial asks for the last ones only."""
    given = Values(TRAINING_DEFAULTS | {"schedule": kind, "warmup_steps": 3, "decay_steps": 6})
    steps = range(total_steps(given, 10))
    forwards, backwards = schedule(given, 10), schedule(given, 10)
    assert [forwards(step) for step in steps] == [backwards(step) for step in reversed(steps)][::-1]


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("warmup_steps", [1, 3, 100])
def test_sc1_warmup_is_prepended_and_max_train_steps_does_not_count_it(kind, warmup_steps):
    found = rates(10, schedule=kind, warmup_steps=warmup_steps, final_factor=0.1)
    assert len(found) == warmup_steps + 10
    ramp = [0.4 * (step + 1) / (warmup_steps + 1) for step in range(warmup_steps)]
    assert found[:warmup_steps] == pytest.approx(ramp, rel=1e-15)
    assert found[warmup_steps:] == rates(10, schedule=kind, final_factor=0.1)
    assert found[warmup_steps] == pytest.approx(0.4, rel=1e-15)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schedule": "step"}, "schedule must be one of constant, linear, cosine, but got 'step'"),
        ({"schedule": "linear", "decay_steps": 11}, "0 < decay_steps <= max_train_steps must hold, but got 11 with"),
        ({"schedule": "linear", "decay_steps": 0}, "0 < decay_steps <= max_train_steps must hold"),
        ({"decay_steps": 2.5}, "decay_steps must be a whole number, but got 2.5"),
        ({"warmup_steps": -1}, "warmup_steps must not be negative, but got -1; use 0"),
        ({"warmup_steps": 0.5}, "warmup_steps must be a whole number"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, but got 'fast'"),
        ({"final_factor": None}, "final_factor must be a number"),
        ({"learning_rate": -0.1}, "learning_rate must be at least 0 and finite, but got -0.1; correct it"),
        ({"learning_rate": math.nan}, "learning_rate must be at least 0 and finite"),
        ({"learning_rate": math.inf}, "learning_rate must be at least 0 and finite"),
        ({"final_factor": -0.1}, "final_factor must be from 0 to 1, but got -0.1; it is a share of learning_rate"),
        ({"final_factor": 1.5}, "final_factor must be from 0 to 1, but got 1.5"),
    ],
)
def test_bad_values_are_one_sentence(values, words):
    with pytest.raises(SpecError, match=words):
        rates(10, **values)
