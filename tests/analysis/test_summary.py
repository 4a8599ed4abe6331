"""What a round came to."""

from __future__ import annotations

import pytest

from raytune_playbook.analysis.plots.axis import axes
from raytune_playbook.analysis.summary import counts, reason_kind, summarize
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.study.settings import Objective

OBJECTIVE = Objective()


def done(study: str, index: int, objective: float) -> Trial:
    return Trial(study, index, outcome="completed", objective=objective)


def test_in3_counts_by_kind_of_reason_with_crashes_apart():
    trials = [
        done("a", 0, 0.1),
        Trial("a", 1, outcome="infeasible", reason="diverged: 80 exceeds 2 x 2.3"),
        Trial("a", 2, outcome="infeasible", reason="NaN: loss at step 3"),
        Trial("a", 3, outcome="infeasible", reason="diverged: 9 exceeds 2 x 2.3"),
        Trial("a", 4, outcome="failed"),
        Trial("a", 5),
        Trial("a", 0, repeat=1, outcome="failed"),
    ]
    found = counts(trials, planned=8)
    assert (found.completed, found.infeasible, found.failed) == (1, {"diverged": 2, "NaN": 1}, 1)
    assert (found.num_ended, found.unfinished) == (5, 3)


def test_in3_kind_of_a_reason():
    assert [reason_kind(reason) for reason in ("out of memory", "declared: too wide: 9", "", None)] == [
        "out of memory",
        "declared",
        "no reason given",
        "no reason given",
    ]


def test_sd8_compares_the_best_trial_of_each_scientific_value(make_study):
    studies = [make_study({"depth": depth}, num_trials=2) for depth in (1, 2, 3)]
    trials = [done("depth=1", 0, 0.3), done("depth=1", 1, 0.2), done("depth=2", 0, 0.1), done("depth=2", 1, 0.9)]
    trials += [Trial("depth=3", index, outcome="infeasible", reason="NaN") for index in (0, 1)]
    summary = summarize(studies, trials, OBJECTIVE)
    assert [arm.best.objective if arm.best else None for arm in summary.arms] == [0.2, 0.1, None]
    assert summary.best is summary.arms[1]
    assert summary.best.arm == {"depth": 2}
    assert (summary.total.completed, summary.total.infeasible, summary.total.unfinished) == (4, {"NaN": 2}, 0)


def test_nothing_completed_no_best(make_study):
    summary = summarize([make_study()], [], OBJECTIVE)
    assert summary.best is None
    assert (summary.total.num_ended, summary.total.unfinished) == (0, 4)


@pytest.fixture
def joint(make_study):
    arms = tuple({"depth": depth} for depth in range(1, 31))
    return make_study(num_trials=40).model_copy(update={"name": "joint", "arms": arms})


def test_sd8_compares_the_scientific_values_of_a_joint_study(joint):
    """A table gives depths back as floats."""
    trials = [
        Trial("joint", i, values={"depth": float(i % 30 + 1)}, outcome="completed", objective=abs(i - 33) / 10)
        for i in range(38)
    ]
    summary = summarize([joint], trials, OBJECTIVE)
    assert [arm.arm["depth"] for arm in summary.arms] == list(range(1, 31))
    assert summary.best is not None
    assert (summary.best.arm, summary.best.best.index, summary.best.counts.completed) == ({"depth": 4}, 33, 2)
    assert (summary.total.planned, summary.total.unfinished) == (40, 2)
    assert [arm.arm["depth"] for arm in summary.leading(3)] == [4, 3, 5]
    assert len(summary.leading(30)) == 30


def test_sd12_a_joint_studys_scientific_values_have_an_axis(joint):
    trials = [Trial("joint", 0, values={"depth": 7.0}, outcome="completed", objective=0.1)]
    (axis,) = axes([joint], trials)
    assert (axis.name, axis.choices) == ("depth", tuple(range(1, 31)))
    assert [axis.place(point.x) for point in axis.completed] == [6]
