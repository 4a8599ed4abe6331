"""The best trials."""

from __future__ import annotations

from raytune_playbook.analysis.judging.best import best_of_each_study, best_trial, ranked, worth_showing
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.study.settings import Objective

MINIMIZE, MAXIMIZE = Objective(), Objective(goal="maximize")


def done(study: str, index: int, objective: float | None, **fields: object) -> Trial:
    return Trial(study, index, outcome="completed", objective=objective, **fields)


TRIALS = [
    done("a", 0, 0.3),
    done("a", 1, 0.1),
    done("a", 2, None),
    Trial("a", 3, outcome="infeasible", reason="NaN", objective=0.0),
    Trial("a", 4, outcome="failed"),
    Trial("a", 5),
    done("b", 0, 0.2),
    done("b", 1, 0.1),
    done("b", 1, 0.01, repeat=1),
    Trial("c", 0, outcome="infeasible"),
]


def test_only_completed_trials_compete_and_repeats_do_not():
    assert [trial.id for trial in ranked(TRIALS, MINIMIZE)] == [
        ("a", "00001"),
        ("b", "00001"),
        ("b", "00000"),
        ("a", "00000"),
    ]


def test_ties_go_to_the_lower_index_then_to_the_first_study():
    trials = [done("b", 2, 0.1), done("a", 1, 0.1), done("b", 1, 0.1)]
    assert [trial.id for trial in ranked(trials, MINIMIZE)] == [("a", "00001"), ("b", "00001"), ("b", "00002")]


def test_best_of_the_round_by_either_goal():
    assert best_trial(TRIALS, MINIMIZE) is TRIALS[1]
    assert best_trial(TRIALS, MAXIMIZE) is TRIALS[0]
    assert best_trial(TRIALS[2:6], MINIMIZE) is None


def test_sd8_best_of_each_study_names_no_study_without_a_completed_trial():
    best = best_of_each_study(TRIALS, MINIMIZE)
    assert {study: [trial.index for trial in trials] for study, trials in best.items()} == {"a": [1], "b": [1]}


def test_in5_best_few_of_each_study():
    best = best_of_each_study(TRIALS, MINIMIZE, 2)
    assert {study: [trial.index for trial in trials] for study, trials in best.items()} == {"a": [1, 0], "b": [1, 0]}


def test_in5_worth_showing_keeps_every_studys_best_then_the_best_then_the_others():
    trials = [*(done("a", index, 0.1 + index / 100) for index in range(5)), done("b", 0, 0.9), Trial("c", 0)]
    assert [trial.id for trial in worth_showing(trials, MINIMIZE, 3)] == [
        ("a", "00000"),
        ("b", "00000"),
        ("a", "00001"),
    ]
    assert {trial.id for trial in worth_showing(trials, MINIMIZE, 100)} == {trial.id for trial in trials}
