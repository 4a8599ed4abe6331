"""Schedules that are extended, step by step against those of the shorter training (rules LN5 and SC1)."""

from __future__ import annotations

import math

import pytest

from raytune_playbook.procedures.lengthen.schedules import (
    SMALL_SHARE,
    extended_schedule,
    extension_text,
    num_small_steps,
    small_rates_text,
)
from raytune_playbook.study.frozen import Value
from raytune_playbook.train.update.schedules import schedule, total_steps
from raytune_playbook.train.workload import TRAINING_DEFAULTS, Values

SHORT, LONG = 40, 400


def values_of(**given: Value) -> dict[str, Value]:
    return {**TRAINING_DEFAULTS, "learning_rate": 0.3, **given}


def rates(values: dict[str, Value], max_train_steps: int) -> list[float]:
    typed = Values(values)
    learning_rate = schedule(typed, max_train_steps)
    return [learning_rate(step) for step in range(total_steps(typed, max_train_steps))]


@pytest.mark.parametrize("decay_steps", [None, 1, 15, 40])
@pytest.mark.parametrize("warmup_steps", [0, 5])
@pytest.mark.parametrize("final_factor", [0.0, 0.25])
def test_ln5_a_linear_decay_keeps_its_steps_and_the_constant_part_before_it_grows(
    decay_steps, warmup_steps, final_factor
):
    before = values_of(schedule="linear", decay_steps=decay_steps, warmup_steps=warmup_steps, final_factor=final_factor)
    short, long = rates(before, SHORT), rates(extended_schedule(before, SHORT, LONG), LONG)
    decay = decay_steps or SHORT
    assert long[-decay:] == short[-decay:]
    assert long[:warmup_steps] == short[:warmup_steps]
    assert set(long[warmup_steps:-decay]) == {0.3}
    assert len(long) == LONG + warmup_steps


@pytest.mark.parametrize("decay_steps", [None, 10, 40])
def test_ln5_a_cosine_keeps_its_base_learning_rate_and_stretches(decay_steps):
    before = values_of(schedule="cosine", decay_steps=decay_steps, warmup_steps=5, final_factor=0.1)
    short, long = rates(before, SHORT), rates(extended_schedule(before, SHORT, LONG), LONG)
    assert long[:5] == short[:5]
    for step in range(SHORT):
        assert math.isclose(long[5 + 10 * step], short[5 + step], rel_tol=1e-12)
    assert max(long) == 0.3


def test_ln5_nothing_else_is_touched_and_a_constant_rate_stays():
    before = values_of(schedule="constant", warmup_steps=7, decay_steps=None, averaging="uniform")
    assert extended_schedule(before, SHORT, LONG) == before
    linear = values_of(schedule="linear", warmup_steps=7)
    changed = extended_schedule(linear, SHORT, LONG)
    assert {name for name in linear if linear[name] != changed[name]} == {"decay_steps"}
    assert linear["decay_steps"] is None


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("decay_steps", [None, 30])
@pytest.mark.parametrize("final_factor", [0.0, 0.05, 0.1, 0.5])
def test_ln5_small_rates_are_counted_as_the_schedule_has_them(kind, decay_steps, final_factor):
    values = values_of(schedule=kind, decay_steps=decay_steps, final_factor=final_factor)
    small = sum(rate < SMALL_SHARE * 0.3 * (1 - 1e-12) for rate in rates(values, SHORT))
    assert num_small_steps(values, SHORT) == small


def test_ln5_extra_steps_at_too_small_a_rate_are_warned_of():
    cosine, linear = values_of(schedule="cosine"), values_of(schedule="linear")
    assert small_rates_text(linear, SHORT, LONG) is None
    assert small_rates_text(values_of(schedule="cosine", final_factor=0.2), SHORT, LONG) is None
    extra = num_small_steps(cosine, LONG) - num_small_steps(cosine, SHORT)
    text = small_rates_text(cosine, SHORT, LONG)
    assert text is not None
    assert f"Of the 360 extra steps the stretched cosine schedule spends {extra}" in text
    assert "keeps its 40 steps" in extension_text(linear, SHORT, LONG)
    assert "from 0 to 360" in extension_text(linear, SHORT, LONG)
    assert "stretches over 400 steps" in extension_text(cosine, SHORT, LONG)
