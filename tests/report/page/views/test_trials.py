"""The table of all trials, and what a plot shows of one."""

from __future__ import annotations

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Attempt
from raytune_playbook.report.page.views.trials import LogFile, hover_view, trials_view
from raytune_playbook.report.reading import read_round


def test_every_trial_has_a_row_with_a_cell_under_each_head(mixed_round):
    reading = read_round(mixed_round)
    view = trials_view(reading, {("batch_norm=sync", "00002"): ("batch_norm=sync/logs/00002.1.0.log",)})
    assert [row.name for row in view.rows] == [
        f"batch_norm={arm}/{index:05d}" for arm in ("device", "sync", "ghost") for index in range(8)
    ]
    assert {len(row.cells) for row in view.rows} == {len(view.number_heads)}
    rows = {row.name: row for row in view.rows}
    infeasible, failed = rows["batch_norm=sync/00002"], rows["batch_norm=ghost/00003"]
    assert (infeasible.outcome, infeasible.traceback) == ("infeasible", None)
    assert infeasible.reason == "diverged: training loss 80.1 exceeds 2 x 2.34"
    assert infeasible.logs == (LogFile("batch_norm=sync/logs/00002.1.0.log", "1.0"),)
    assert (infeasible.cells[0].text, infeasible.cells[0].value) == ("—", None)
    assert (failed.outcome, failed.error, failed.logs) == ("failed", "ValueError: <shapes> differ", ())


def test_pointing_at_a_trial_tells_its_values_and_why_it_failed(mixed_round):
    reading = read_round(mixed_round)
    attempt = Attempt(1, "gang-0", "", "failed", "Traceback:\n  File\nValueError: " + "long " * 100)
    failed = Trial("all", 3, values={"dropout": 0.25}, outcome="failed", attempts=(attempt,))
    view = hover_view(failed, {}, reading)
    assert (view.text, view.arm) == ("all/00003", "all")
    assert view.lines[: len(reading.varied)] == (
        "learning_rate = —", "momentum = —", "dropout = 0.25", "schedule = —",
    )  # fmt: skip
    words = view.lines[len(reading.varied) :]
    assert words[0].startswith("failed: ValueError: long long")
    assert len(words) == 4 and max(map(len, words)) <= 60
