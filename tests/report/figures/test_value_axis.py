"""Vertical axes of objectives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raytune_playbook.report.figures.value_axis import value_axis
from raytune_playbook.study.settings import Objective

GOOD = list(np.random.default_rng(0).uniform(0.8, 1.0, 20))


MARKER = {"symbol": "circle", "opacity": 0.35}


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("far", [50.0, 1e9])
def test_a_few_bad_trials_leave_the_others_their_height_and_are_counted_at_the_edge(goal, far):
    sign = 1 if goal == "minimize" else -1
    values = [sign * value for value in (*GOOD, far, 2 * far, 3 * far)]
    axis = value_axis(values, Objective(goal=goal))
    low, high = axis.layout["range"]
    if axis.layout.get("type") == "log":
        low, high = 10**low, 10**high
    heights = [axis.height(value) for value in values]
    assert heights[:20] == values[:20] and len(set(heights[20:])) == 1
    assert all(low < height < high for height in heights)
    assert abs(heights[20]) > max(map(abs, heights[:20]))  # beyond the others
    shown = np.log([max(GOOD), high, min(GOOD), low]) if axis.layout.get("type") == "log" else None
    share = (shown[0] - shown[2]) / (shown[1] - shown[3]) if shown is not None else np.ptp(GOOD) / (high - low)
    assert share > 0.5
    (note,) = axis.notes()
    worst = f"{max(GOOD):.3g}" if sign > 0 else f"-{max(GOOD):.3g}"
    assert note["text"] == f"{'△ 3 trials above' if sign > 0 else '▽ 3 trials below'} {worst}, at the edge"
    marker = axis.marker(values, MARKER)
    assert marker["symbol"] == ["circle"] * 20 + [f"triangle-{'up' if sign > 0 else 'down'}-open"] * 3
    assert marker["opacity"] == [0.35] * 20 + [1.0] * 3


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.3],
        [0.3, 0.3, 0.3],
        [0.0, 1.0, 2.0, 3.0, 9.0],
        [0.3, 9e3],
        [-1.0, 500.0],
        [0.1, 0.11, 0.12, 0.5],
        [10.0**-place for place in range(9)],
    ],
)
def test_where_no_trial_is_far_from_the_others_all_stand_at_their_values(values):
    axis = value_axis(values, Objective())
    assert [axis.height(value) for value in values] == values
    assert "range" not in axis.layout and axis.notes() == [] and axis.marker(values, MARKER) == MARKER


def test_ties_of_the_best_do_not_hide_that_another_is_far():
    axis = value_axis([0.1] * 12 + [0.11, 0.9], Objective())
    assert axis.num_beyond == 1 and axis.height(0.11) == 0.11


def test_an_axis_holds_the_ends_of_intervals_and_what_lies_among_them():
    values = [*(0.01 * place for place in range(9)), 0.5, 0.9]
    axis = value_axis(values, Objective(), held=[-0.3, 0.6])
    low, high = axis.layout["range"]
    assert low < -0.3 < 0.6 < high
    assert axis.num_beyond == 1 and axis.height(0.5) == 0.5 < 0.6 < axis.height(0.9) < high


def test_a_logarithmic_axis_ends_before_a_loss_that_exploded():
    axis = value_axis([0.1, 0.2, 0.3, 0.4, 0.6, 1e12], Objective())
    assert axis.layout["type"] == "log" and 10 ** axis.layout["range"][1] < 2
    assert math.isclose(math.log10(axis.height(1e12) / 0.6), 0.1 * math.log10(6), rel_tol=1e-6)
