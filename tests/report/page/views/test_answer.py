"""The best trial of every scientific value, side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytune_playbook.analysis.answer.answer import Verdict
from raytune_playbook.report.page.page import read_insight
from raytune_playbook.report.page.views.answer import AnswerView, answer_view
from raytune_playbook.report.reading import MAX_ARMS_SHOWN
from tests.report.page.by_hand import found_by_hand


def column(view: AnswerView, head: str) -> list[str]:
    """What the rows have under a head."""
    return [row.numbers[view.number_heads.index(head)] for row in view.rows]


def details(view: AnswerView, head: str) -> list[str]:
    return [row.details[view.detail_heads.index(head)] for row in view.rows if row.trial]


def test_sd8_the_best_of_each_arm_stands_beside_the_others(mixed_round):
    # Point 3 is the best of the formula; it crashed in the third arm, whose next best is point 1.
    view = answer_view(read_insight(mixed_round), {})
    assert [row.values for row in view.rows] == [("device",), ("sync",), ("ghost",)]
    assert [row.objective for row in view.rows] == ["0.02122", "0.03122", "0.06235"]
    assert [row.trial.text for row in view.rows] == [
        "batch_norm=device/00003",
        "batch_norm=sync/00003",
        "batch_norm=ghost/00001",
    ]
    assert column(view, "behind the best") == ["—", "0.01", "0.041"]
    assert details(view, "at step") == ["300 of 400"] * 3
    assert view.judged_by == "lowest validation error over training"


def test_in20_time_per_step_parameters_and_memory_stand_beside_the_error(mixed_round):
    view = answer_view(read_insight(mixed_round), {})
    assert column(view, "parameters") == ["272,474"] * 3
    assert column(view, "peak memory") == ["—", "300 MiB", "600 MiB"]
    assert details(view, "time") == ["34.5 s", "34.5 s", "32.5 s"]  # 31.5 s and one more for each place in the study
    assert column(view, "time per step") == ["86.2 ms", "86.2 ms", "81.2 ms"]


@pytest.mark.parametrize(
    ("verdict", "standings"),
    [
        (Verdict.BETTER, ("best", "best")),
        (Verdict.NO_DIFFERENCE, ("tied", "tied")),
        (Verdict.CANNOT_TELL, ("ahead, not settled", "may be as good")),
    ],
)
def test_in18_what_is_said_of_the_leading_rows_is_what_the_verdict_allows(mixed_round, verdict, standings):
    insight = found_by_hand(read_insight(mixed_round))
    view = answer_view(replace(insight, answer=replace(insight.answer, verdict=verdict)), {})
    assert [row.standing for row in view.rows] == [*standings, ""]


def test_ad2_how_sure_it_is_stands_beside_each_value(mixed_round):
    view = answer_view(found_by_hand(read_insight(mixed_round)), {})
    assert column(view, "8 of 10 searches reach") == ["0.018 to 0.035"] * 3
    assert column(view, "best with half the points") == ["33%"] * 3
    assert [link.question for link in view.open_findings] == [
        "Is the search space large enough?",
        "Are there enough trials?",
    ]


def test_an_arm_without_a_completed_trial_says_how_its_trials_ended(make_round):
    store = make_round(trials_per_arm=2, outcomes=lambda arm, i: "failed" if arm == 1 else "completed", measured=False)
    row = answer_view(read_insight(store), {}).rows[1]
    assert (row.trial, row.num_ended, row.counts, row.standing) == (None, 2, "0 completed, 2 failed", "")


def test_of_very_many_arms_the_best_are_shown_and_the_rest_counted(make_round):
    arms = [{"batch_norm": f"kind-{place}"} for place in range(MAX_ARMS_SHOWN + 3)]
    insight = read_insight(make_round(arms=arms, trials_per_arm=1, measured=False))
    view = answer_view(insight, {})
    assert (len(view.rows), view.num_hidden) == (MAX_ARMS_SHOWN, 3)
    assert view.rows[0].trial.name == "/".join(insight.evidence.ranked[0].id)


def test_a_round_without_scientific_values_has_its_study_in_their_place(make_round):
    view = answer_view(read_insight(make_round(arms=[{}], trials_per_arm=1, measured=False)), {})
    assert (view.arm_heads, view.rows[0].values, view.rows[0].standing) == (("study",), ("all",), "")
    assert "behind the best" not in view.number_heads
