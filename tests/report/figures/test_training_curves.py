"""Training curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raytune_playbook.analysis.series.curves import Curve
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures.style import looks_of
from raytune_playbook.report.figures.training_curves import TrialLines, curves_figure, smoothed, with_smoothed
from tests.report.figures.checked import checked

LOOKS = looks_of(["a", "b"])


def trial(index: int) -> Trial:
    return Trial("a", index, outcome="completed")


def test_in5_training_is_dashed_and_others_wait_for_the_switch():
    curve = Curve(np.array([0, 10]), np.array([1.0, np.nan]))
    lines = [TrialLines(trial(0), {"train": curve, "validation": curve}, 0), TrialLines(trial(1), {"train": curve}, 1)]
    lines.append(TrialLines(trial(2), {"train": curve}, None))
    figure = checked(curves_figure(lines, y_title="error", looks=LOOKS))
    assert [trace.line.dash for trace in figure.data] == ["dash", "solid", "dash", "dash"]
    assert [trace.meta["best"] for trace in figure.data] == [True, True, True, False]
    assert [trace.meta["trial"] for trace in figure.data] == ["a/00000", "a/00000", "a/00001", "a/00002"]
    assert [trace.meta["split"] for trace in figure.data] == ["train", "validation", "train", "train"]
    assert list(figure.data[0].y) == [1.0, None]
    assert figure.data[0].line.width > figure.data[2].line.width


def test_in5_best_step_is_marked():
    lines = [TrialLines(trial(0), {"validation": Curve(np.array([0, 10]), np.array([1.0, 0.5]))}, 0)]
    marked = {trial(0).id: (10, 0.5)}
    dot = checked(curves_figure(lines, y_title="error", looks=LOOKS, marked=marked)).data[-1]
    assert (dot.mode, dot.x, dot.y) == ("markers", (10,), (0.5,))


def test_steps_that_are_evenly_spaced_take_two_numbers():
    even = Curve(np.arange(0, 100, 25), np.arange(4.0))
    odd = Curve(np.array([0, 10, 50]), np.arange(3.0))
    lines = [TrialLines(trial(0), {"validation": even, "train": odd}, 0)]
    first, second = checked(curves_figure(lines, y_title="error", looks=LOOKS)).data
    assert (first.x0, first.dx, first.x) == (0, 25, None)
    assert list(second.x) == [0, 10, 50]


def falling(start: float, end: float, num_points: int = 21) -> Curve:
    """Half of the way to its end at every step."""
    steps = np.arange(num_points)
    return Curve(steps * 10, end + (start - end) * 0.5**steps)


def height_share(figure, low: float, high: float) -> float:
    """What the distance between two values takes of the plot's height."""
    axis = figure.layout.yaxis
    turn = math.log10 if axis.type == "log" else float
    assert axis.range is not None
    return (turn(high) - turn(low)) / (axis.range[1] - axis.range[0])


@pytest.mark.parametrize("trained_to", [0.005, 0.0])
def test_in5_the_difference_between_good_trials_shows_beside_the_first_steps_error(trained_to):
    # From 0.9 on one linear axis, 0.01 and 0.02 would be a hundredth of the height apart.
    lines = [
        TrialLines(trial(number), {"validation": falling(0.9, end), "train": falling(0.9, trained_to)}, number)
        for number, end in enumerate((0.01, 0.02))
    ]
    train = lines[0].curves["train"].values
    train[-5:] = trained_to  # zeros, where it fits its examples
    figure = checked(curves_figure(lines, y_title="error", looks=LOOKS))
    assert height_share(figure, 0.01, 0.02) > 0.1


@pytest.mark.parametrize(("start", "ends"), [(9.0, (3.4, 3.6)), (0.2, (0.9, 0.92))])
def test_in5_it_shows_where_the_beginning_is_too_near_for_a_logarithm_or_below(start, ends):
    lines = [TrialLines(trial(number), {"validation": falling(start, end)}, number) for number, end in enumerate(ends)]
    figure = checked(curves_figure(lines, y_title="bits", looks=LOOKS))
    assert height_share(figure, *ends) > 0.1
    assert all(figure.layout.yaxis.range[0] < end < figure.layout.yaxis.range[1] for end in ends)


def test_in5_a_metric_that_changes_little_is_shown_whole():
    lines = [TrialLines(trial(0), {"validation": falling(0.9, 0.6)}, 0)]
    figure = checked(curves_figure(lines, y_title="error", looks=LOOKS))
    assert (figure.layout.yaxis.type, figure.layout.yaxis.range) == (None, None)
    assert set(figure.layout.meta["axes"]) == {"whole", "clipped", "log"}


def test_a_trial_that_diverged_does_not_set_the_scale():
    lines = [TrialLines(trial(0), {"validation": falling(0.9, 0.01)}, 0)]
    lines.append(TrialLines(trial(1), {"validation": falling(0.9, 1e9)}, None))
    axis = checked(curves_figure(lines, y_title="loss", looks=LOOKS)).layout.yaxis
    assert axis.type == "log" and 10 ** axis.range[1] < 2


@pytest.mark.parametrize("values", [[math.nan, math.inf], [0.5, 0.5], [-1.0, 0.0], [1e-300, 1e300]])
def test_any_values_are_drawn(values):
    lines = [TrialLines(trial(0), {"validation": Curve(np.array([0, 10]), np.array(values))}, 0)]
    assert len(checked(curves_figure(lines, y_title="error", looks=LOOKS)).data) == 1


def test_in5_a_plot_that_asks_for_it_has_smoothed_lines_over_faint_ones():
    values = np.array([1.0, 3.0, np.nan, 2.0])
    lines = [TrialLines(trial(0), {"step": Curve(np.arange(4), values)}, 0)]
    figure = curves_figure(lines, y_title="loss", looks=LOOKS, smoothing=0.5)
    faint, smooth = with_smoothed(figure.data, figure.layout)
    weights = np.array([0.125, 0.25, 0.5])  # of the first, the second and the fourth value at the end
    assert faint["opacity"] < 0.5 < smooth["opacity"] and list(faint["y"]) == [1.0, 3.0, None, 2.0]
    assert smooth["y"][2] is None and smooth["y"][0] == 1.0
    assert smooth["y"][3] == pytest.approx(weights @ [1.0, 3.0, 2.0] / weights.sum())
    assert smoothed([5.0] * 9, 0.9) == pytest.approx([5.0] * 9)
    rough = curves_figure(lines, y_title="loss", looks=LOOKS)
    assert with_smoothed(rough.data, rough.layout) == list(rough.data)
