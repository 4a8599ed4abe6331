"""The best trial of every scientific value, side by side."""

from __future__ import annotations

from raytune_playbook.report.page.views.answer import AnswerView, answer_view
from raytune_playbook.report.reading import MAX_ARMS_SHOWN, read_round


def column(view: AnswerView, head: str) -> list[str]:
    """What the completed rows have under a head beside the objective's."""
    return [row.best.numbers[view.number_heads.index(head) - 1] for row in view.rows if row.best]


def test_sd8_the_best_of_each_arm_stands_beside_the_others(mixed_round):
    # Point 3 is the best of the formula; it crashed in the third arm, whose next best is point 1.
    view = answer_view(read_round(mixed_round), {})
    assert [row.values for row in view.rows] == [("device",), ("sync",), ("ghost",)]
    assert [row.best.objective for row in view.rows] == ["0.02122", "0.03122", "0.06235"]
    assert [row.best.trial.text for row in view.rows] == [
        "batch_norm=device/00003",
        "batch_norm=sync/00003",
        "batch_norm=ghost/00001",
    ]
    assert [row.is_best for row in view.rows] == [True, False, False]
    assert column(view, "behind best") == ["—", "+0.01", "+0.041"]
    assert column(view, "at step") == ["300 of 400"] * 3
    assert (view.lead, view.winner.objective, view.winner.arm) == (
        "Lowest validation error", "0.02122", "batch_norm=device",
    )  # fmt: skip


def test_in20_time_per_step_parameters_and_memory_stand_beside_the_error(mixed_round):
    view = answer_view(read_round(mixed_round), {})
    assert column(view, "parameters") == ["272,474"] * 3
    assert column(view, "peak memory") == ["—", "300 MiB", "600 MiB"]
    assert column(view, "time") == ["34.5 s", "34.5 s", "32.5 s"]  # 31.5 s and one more for each place in the study
    assert column(view, "time/step") == ["86.2 ms", "86.2 ms", "81.2 ms"]


def test_an_arm_without_a_completed_trial_says_how_its_trials_ended(make_round):
    store = make_round(trials_per_arm=2, outcomes=lambda arm, i: "failed" if arm == 1 else "completed", measured=False)
    row = answer_view(read_round(store), {}).rows[1]
    assert (row.best, row.num_ended, row.counts, row.is_best) == (None, 2, "0 completed, 2 failed", False)


def test_of_very_many_arms_the_best_are_shown_and_the_rest_counted(make_round):
    arms = [{"batch_norm": f"kind-{place}"} for place in range(MAX_ARMS_SHOWN + 3)]
    view = answer_view(read_round(make_round(arms=arms, trials_per_arm=1, measured=False)), {})
    assert (len(view.rows), view.num_hidden) == (MAX_ARMS_SHOWN, 3)


def test_a_round_without_scientific_values_has_its_study_in_their_place(make_round):
    view = answer_view(read_round(make_round(arms=[{}], trials_per_arm=1, measured=False)), {})
    assert (view.title, view.arm_heads, view.rows[0].values) == ("Best trial", ("study",), ("all",))
    assert "behind best" not in view.number_heads
