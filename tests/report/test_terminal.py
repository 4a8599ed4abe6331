"""Tables for the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from raytune_playbook.records.store import Storage
from raytune_playbook.report.terminal import rounds_table, summary


def text_of(renderable: RenderableType, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    text = console.file.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    return text


def table_lines(renderable: RenderableType) -> list[str]:
    return [line.rstrip() for line in text_of(renderable).splitlines()]


def test_sd8_summary_names_the_best_of_each_arm(make_round):
    store = make_round(outcomes=lambda arm, i: "infeasible" if i == 2 else "completed")
    text = text_of(summary(store))
    assert "norms-1: Which normalization of batches has the lowest error?" in text
    assert "Trials: 21 completed, 3 infeasible (3 diverged)." in text
    for arm, error in (("device", "0.02122"), ("sync", "0.03122"), ("ghost", "0.04122")):
        (line,) = [line for line in text.splitlines() if line.startswith(arm)]
        assert line.split()[1:4] == [error, "300", f"batch_norm={arm}/00003"]
        assert line.rstrip().endswith("8/8")
    assert "Judged by the lowest validation error over training." in text


def test_sd13_summary_says_which_arm_had_fewer_trials(make_round):
    store = make_round(outcomes=lambda arm, i: "failed" if (arm, i) == (1, 0) else "completed")
    assert "batch_norm=sync was tuned with fewer trials (7) than the others (8)" in text_of(summary(store))


def test_summary_of_a_round_without_a_completed_trial(make_round):
    text = text_of(summary(make_round(arms=[{}], space={}, outcomes=lambda arm, i: "infeasible", trials_per_arm=2)))
    assert "no completed trial" in text
    assert "2 infeasible (2 diverged)" in text


def test_rounds_of_a_storage(make_round, tmp_path):
    make_round(name="first", arms=[{}], trials_per_arm=4, measured=False)
    make_round(
        name="second",
        state="running",
        goal="[red]A long goal, " * 20,
        trials_per_arm=4,
        measured=False,
        outcomes=lambda arm, i: "infeasible" if i == 0 else "failed" if i == 1 else "missing",
    )
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/round.json").write_text('{"of another": "version"}')
    (tmp_path / "no round").mkdir()
    lines = table_lines(rounds_table(Storage(str(tmp_path))))
    head, broken, first, second = (line for line in lines if not line.startswith(" "))
    assert head.split() == ["round", "state", "goal", "trials", "infeasible", "failed", "best", "created"]
    assert broken.split()[:2] == ["broken", "unreadable"]
    assert first.split()[:2] == ["first", "finished"]
    assert first.split()[-6:] == ["4/4", "0", "0", "0.02122", "2026-01-02", "03:04"]
    assert second.split()[:3] == ["second", "running", "[red]A"]
    assert second.split()[-6:] == ["6/12", "3", "3", "—", "2026-01-02", "03:04"]


@pytest.mark.parametrize(("state", "shown"), [("finished", "finished"), ("running", "running"), (None, "not started")])
def test_tables_fit_into_a_hundred_columns(make_round, tmp_path, state, shown):
    store = make_round(name="a-name-" * 12, state=state, goal="A goal. " * 30, measured=False)
    rounds = text_of(rounds_table(Storage(str(tmp_path))), width=100)
    assert "2026-01-02 03:04" in rounds
    assert [text for text in ("finished", "running", "not started") if text in rounds] == [shown]
    assert "a-name-a-name" in rounds
    text_of(summary(store), width=100)
    assert any(line.startswith("device") for line in table_lines(summary(store)))
