"""Data of hyperparameter axis plots."""

from __future__ import annotations

from raytune_playbook.analysis.plots.axis import axes
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Int

SPACE = {
    "learning_rate": Float(1e-4, 1.0, scale="log"),
    "beta1": Float(0.5, 0.99, scale="log_one_minus"),
    "layers": Int(1, 8),
    "width": Discrete([16, 32]),
    "schedule": Categorical(["cosine", None]),
}


def trial(study: str, index: int, outcome: str | None = "completed", **values: object) -> Trial:
    values = {"learning_rate": 0.1, "beta1": 0.9, "layers": 2, "width": 32, "schedule": "cosine"} | values
    objective = 0.5 if outcome == "completed" else None
    return Trial(study, index, values=values, outcome=outcome, objective=objective, reason=outcome)


def test_in11_every_varied_hyperparameter_has_an_axis_the_scientific_ones_first(make_study):
    studies = [make_study({"optimizer": name}, SPACE) for name in ("sgd", "adam")]
    found = axes(studies, [trial("optimizer=sgd", 0), trial("optimizer=adam", 0)])
    assert [axis.name for axis in found] == ["optimizer", *SPACE]
    assert [axis.scale for axis in found] == ["linear", "log", "log_one_minus", "linear", "linear", "linear"]
    assert [(axis.low, axis.high) for axis in found[1:4]] == [(1e-4, 1.0), (0.5, 0.99), (1, 8)]
    assert [axis.choices for axis in found] == [("sgd", "adam"), (), (), (), (16, 32), ("cosine", None)]
    assert [point.x for point in found[0].completed] == ["sgd", "adam"]


def test_in11_infeasible_trials_are_there_with_their_reason_and_crashes_apart(make_study):
    trials = [
        trial("all", 0, learning_rate=0.01),
        trial("all", 1, "infeasible", learning_rate=0.9),
        trial("all", 2, "failed", learning_rate=0.2),
        trial("all", 3, None),
    ]
    axis = axes([make_study({}, SPACE)], trials)[0]
    assert [(point.x, point.trial.key, point.trial.objective) for point in axis.completed] == [(0.01, "00000", 0.5)]
    assert [(point.x, point.trial.reason) for point in axis.infeasible] == [(0.9, "infeasible")]
    assert [point.x for point in axis.failed] == [0.2]


def test_sd12_one_axis_spans_all_studies_and_the_widest_range(make_study):
    studies = [
        make_study({"depth": d}, {"learning_rate": Float(low, 1.0, scale="log")}) for d, low in ((1, 0.1), (2, 0.01))
    ]
    axis = axes(studies, [trial("depth=1", 0), trial("depth=2", 0)])[1]
    assert (axis.low, axis.high, len(axis.completed)) == (0.01, 1.0, 2)


def test_a_choice_of_none_is_a_point_but_an_absent_value_is_none(make_study):
    learning_rate, *_, schedule = axes([make_study({}, SPACE)], [trial("all", 0, schedule=None, learning_rate=None)])
    assert [point.x for point in schedule.completed] == [None]
    assert learning_rate.completed == ()


def test_a_choice_is_found_in_whatever_type_its_column_has(make_study):
    study = make_study({}, {"width": Discrete([16, 32]), "flag": Categorical([True, "auto"])})
    width, flag = axes([study], [])
    assert [width.place(x) for x in (16, 32.0, "32", 64)] == [0, 1, 1, None]
    assert [flag.place(x) for x in (True, "True", "auto")] == [0, 0, 1]


def test_nothing_varied_no_axis(make_study):
    assert axes([make_study()], [trial("all", 0)]) == []


def test_repeats_of_a_point_are_no_points_of_their_own(make_study):
    repeat = Trial("all", 0, repeat=1, values={"learning_rate": 0.1}, outcome="completed", objective=0.1)
    assert axes([make_study({}, SPACE)], [repeat])[0].completed == ()
