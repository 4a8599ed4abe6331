"""Training curves."""

from __future__ import annotations

import numpy as np

from raytune_playbook.analysis.curves import Curve
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures.style import looks_of
from raytune_playbook.report.figures.training_curves import TrialLines, curves_figure

LOOKS = looks_of(["a", "b"])


def test_in5_training_is_dashed_and_others_wait_for_the_switch():
    curve = Curve(np.array([0, 10]), np.array([1.0, np.nan]))
    trials = [Trial("a", index, outcome="completed") for index in range(3)]
    lines = [
        TrialLines(trials[0], {"train": curve, "validation": curve}, 0),
        TrialLines(trials[1], {"train": curve}, 1),
    ]
    figure = curves_figure([*lines, TrialLines(trials[2], {"train": curve}, None)], y_title="error", looks=LOOKS)
    assert [trace.line.dash for trace in figure.data] == ["dash", "solid", "dash", "dash"]
    assert [trace.visible for trace in figure.data] == [True, True, True, False]
    assert [trace.meta["trial"] for trace in figure.data] == ["a/00000", "a/00000", "a/00001", "a/00002"]
    assert list(figure.data[0].y) == [1.0, None]
    assert figure.data[0].line.width > figure.data[2].line.width


def test_in5_best_step_is_marked():
    trial = Trial("a", 0, outcome="completed")
    lines = [TrialLines(trial, {"validation": Curve(np.array([0, 10]), np.array([1.0, 0.5]))}, 0)]
    marked = {trial.id: (10, 0.5)}
    dot = curves_figure(lines, y_title="error", looks=LOOKS, marked=marked).data[-1]
    assert (dot.mode, dot.x, dot.y) == ("markers", (10,), (0.5,))
