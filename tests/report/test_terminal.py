"""Tables for the terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table

from raytune_playbook.analysis.answer.answer import Verdict, answer_of
from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.findings.finding import Status
from raytune_playbook.cli import main
from raytune_playbook.engine.rounds import run as running
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.records.storage import Storage
from raytune_playbook.report.insight import insight_of
from raytune_playbook.report.page.extras import read_extras
from raytune_playbook.report.page.page import read_insight, render_page
from raytune_playbook.report.reading import read_curves, read_round
from raytune_playbook.report.terminal import MAX_OPEN_LINES, _best_table, no_answer, rounds_table, summary
from raytune_playbook.study.settings import Objective
from tests.report.conftest import STABILITY, write_round

JOB = """
from raytune_playbook import Budget, Objective, Round
from raytune_playbook.workloads.digits import DigitsResNet

round = Round(
    name="digits", goal="Does it end?", workload=DigitsResNet(), objective=Objective(metric="error"),
    budget=Budget(num_trials=1, max_train_steps=10, evaluation_interval_steps=5),
)
"""


def text_of(renderable: RenderableType, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    text = console.file.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    return text


def table_lines_of(renderable: RenderableType) -> list[str]:
    """Lines of any length, as they are without a terminal's width."""
    return [line.rstrip() for line in text_of(renderable, width=1000).splitlines()]


def evidence_of(store) -> Evidence:
    reading = read_round(store)
    return insight_of(reading, read_curves(store, reading)).evidence


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
    text = text_of(summary(store), width=400)
    assert "Look: Were all scientific values tuned equally? Most values were tuned with 8 trials, but " in text
    assert "but batch_norm=sync with 7: " in text


def test_in18_summary_ends_with_the_answer_what_is_open_and_the_next_study(make_round):
    store = make_round()
    found = Result(store)
    lines = table_lines_of(summary(store))
    judged = lines.index("Judged by the lowest validation error over training.")
    assert lines[judged + 1] == found.answer.sentence
    still_open = found.answer.open_findings
    assert still_open
    words = {Status.PROBLEM: "Problem", Status.LOOK: "Look"}
    told = [f"{words[finding.status]}: {finding.question} {finding.sentence}" for finding in still_open]
    shown = lines[judged + 2 : judged + 2 + min(len(told), MAX_OPEN_LINES)]
    if len(told) > MAX_OPEN_LINES:
        assert shown.pop() == f"{len(told) - MAX_OPEN_LINES + 1} more to look at stand on the page."
    assert shown == told[: len(shown)]
    assert [finding for finding in found.findings if finding.is_open] != []
    assert sorted(still_open, key=lambda finding: finding.status is not Status.PROBLEM) == list(still_open)
    command = f"What to change next, as a job: raytune-playbook propose norms-1 --storage {store.storage.uri}"
    assert lines[-1] == command
    assert not any(re.search(r"\b[A-Z]{2}\d+\b", line) for line in lines)


def test_in18_what_withholds_the_answer_is_said_once(make_round):
    store = make_round(outcomes=lambda arm, i: "failed" if arm == 1 and i < 5 else "completed")
    text = " ".join(table_lines_of(summary(store)))
    assert Result(store).answer.sentence in text
    assert text.count("but batch_norm=sync with 3: the comparison is not fair to all.") == 1


def test_sd6_of_very_many_values_the_best_are_printed(make_round):
    lines = table_lines_of(summary(make_round(arms=[{"width": width} for width in range(15)], trials_per_arm=1)))
    assert "The best 12 of 15 values are shown." in lines
    assert [line.split()[0] for line in lines if line.endswith("1/1")] == [str(width) for width in range(12)]


def test_in16_a_round_that_python_ran_has_no_job_and_its_next_one_comes_from_python(make_round):
    store = make_round()
    record = store.round().model_copy(update={"job": None})
    store.storage.write(f"{store.name}/round.json", record.model_dump_json().encode())
    lines = table_lines_of(summary(store))
    assert lines[-1] == "What to change next, as a round: raytune_playbook.propose(round, result)"
    page = render_page(read_insight(store), read_extras(store, read_insight(store)))
    assert "<code>raytune_playbook.propose(round, result)</code>" in page
    assert f"propose {store.name}" not in page


def test_sd8_no_value_is_coloured_among_those_that_tie(make_round):
    def styles(renderable: RenderableType) -> list[str]:
        (table,) = [part for part in renderable.renderables if isinstance(part, Table)]
        return [str(row.style) for row in table.rows]

    few = make_round(trials_per_arm=3)
    assert Result(few).answer.verdict is Verdict.CANNOT_TELL
    assert styles(summary(few)) == ["", "", ""]
    # The first value is better by 0.01 at every point.
    many = make_round(name="norms-2", trials_per_arm=16)
    winner = answer_of(evidence_of(many), (), ())
    assert winner.verdict is Verdict.BETTER
    table = _best_table(read_round(many), winner)
    assert [str(row.style) for row in table.rows] == ["green", "", ""]


def test_ad2_a_round_that_was_stopped_is_answered_so_far_and_not_proposed_from(make_round):
    store = make_round(state="stopped", outcomes=lambda arm, i: "completed" if i < 6 else "missing")
    lines = table_lines_of(summary(store))
    assert any(line.startswith("So far: ") for line in lines)
    assert "18 of 24 trials have ended" in " ".join(lines)
    assert not any("raytune-playbook propose" in line for line in lines)


def test_summary_of_a_round_without_a_completed_trial(make_round):
    text = text_of(summary(make_round(arms=[{}], space={}, outcomes=lambda arm, i: "infeasible", trials_per_arm=2)))
    assert "no completed trial" in text
    assert "2 infeasible (2 diverged)" in text


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (
            ["infeasible"] * 3,
            ["3 were infeasible (3 diverged; such as all/00000: diverged: training loss 80.1 exceeds 2 x 2.34);"],
        ),
        (["failed"] * 3, ["3 failed (such as all/00000: ", "resume norms-1 --storage"]),
        (["failed", "infeasible", "failed"], ["1 were infeasible (1 diverged;", " and 2 failed (such as all/00000: "]),
    ],
    ids=["infeasible", "failed", "both"],
)
def test_a_round_without_a_completed_trial_says_why_and_its_command_fails(
    make_round, tmp_path, monkeypatch, capsys, outcomes, words
):
    store = make_round(arms=[{}], space={}, outcomes=lambda arm, i: outcomes[i], trials_per_arm=3)
    sentence = no_answer(store)
    assert sentence.startswith("No trial completed, so there is no answer: ")
    assert "\n" not in sentence
    assert [word for word in words if word not in sentence] == []
    (tmp_path / "job.py").write_text(JOB)
    monkeypatch.setattr(running, "run", lambda *_, **__: Result(store))
    assert main(["run", str(tmp_path / "job.py"), "--storage", str(tmp_path / "storage")]) == 1


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [(["completed", "failed"], "finished"), (["infeasible", "missing"], "stopped"), (["failed", "missing"], "failed")],
)
def test_a_round_with_a_completed_trial_or_with_trials_left_has_not_come_to_nothing(make_round, outcomes, state):
    store = make_round(arms=[{}], space={}, outcomes=lambda arm, i: outcomes[i], trials_per_arm=2, state=state)
    assert no_answer(store) is None


def shown_rounds(folder: Path, **how: object) -> list[str]:
    """The list of rounds as the command prints it."""
    console = Console(file=io.StringIO(), width=60)
    console.print(rounds_table(Storage(str(folder)), **how), crop=False)
    return console.file.getvalue().splitlines()


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
    lines = [line.rstrip() for line in shown_rounds(tmp_path)]
    head, broken, first, second = lines
    assert head.split() == ["round", "state", "trials", "infeasible", "failed", "best", "created", "goal"]
    assert broken.split()[:2] == ["broken", "unreadable"]
    assert first.split()[:8] == ["first", "finished", "4/4", "0", "0", "error", "0.02122", "2026-01-02"]
    assert second.split()[:9] == ["second", "running", "6/12", "3", "3", "—", "2026-01-02", "03:04", "[red]A"]
    assert second.endswith("goal, [red]A long goal,")  # all of it where no terminal cuts it


def test_sd5_the_values_of_a_best_trial_are_those_that_exist_beside_its_scientific_value(tmp_path):
    names = ("nesterov", "adam")
    store = write_round(tmp_path, arms=[{"optimizer": name} for name in names], trials_per_arm=3)
    for name in names:
        path = f"{store.name}/optimizer={name}/study.json"
        study = json.loads(store.storage.read(path))
        study["space"][f"{name}.learning_rate"] = study["space"].pop("learning_rate")
        store.storage.write(path, json.dumps(study).encode())
    rows = [line for line in table_lines_of(summary(store)) if line.startswith(names)]
    assert [name in row for row, name in zip(rows, names, strict=True)] == [True, True]
    assert ["adam.learning_rate" in row for row in rows] == [False, True]
    assert ["nesterov.learning_rate" in row for row in rows] == [True, False]


def test_rounds_of_procedures_are_counted_or_say_of_which_they_are_part(make_round, tmp_path):
    store = make_round(name="norms-1-stability-sweep", trials_per_arm=1, measured=False, part_of=STABILITY)
    record = store.round().model_copy(update={"objective": Objective(metric="loss", split="train")})
    store.storage.write(f"{store.name}/round.json", record.model_dump_json().encode())
    (counted,) = shown_rounds(tmp_path)
    assert counted == f"Rounds that procedures ran: 1 (raytune-playbook rounds --all --storage {tmp_path})"
    make_round(trials_per_arm=1, measured=False)
    head, own, last = shown_rounds(tmp_path)
    assert (own.split()[0], last) == ("norms-1", counted)
    assert "part of" not in head
    head, own, part = shown_rounds(tmp_path, has_parts=True)
    assert "part of" in head
    assert own.split()[:3] == ["norms-1", "finished", "3/3"]
    assert part.split()[:6] == ["norms-1-stability-sweep", "stability", "of", "norms-1", "finished", "3/3"]
    assert re.search(r"train loss [\d.]+  2026", part)  # not to be compared with another round's error


@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_a_list_of_rounds_is_as_wide_as_the_terminal_and_never_breaks_a_name(make_round, tmp_path, width):
    long, failing = "a-round-" * 4, "another"
    make_round(name=long, goal="A goal. " * 30, measured=False)
    make_round(name=failing, goal="短い目標", measured=False, outcomes=lambda arm, i: "failed" if i else "completed")
    head, *lines = shown_rounds(tmp_path, width=width)
    assert sorted(line.split()[0] for line in lines) == sorted([long, failing])
    least = ["round", "state", "trials", "best"]
    full = [*least[:3], "failed", "best", "created", "goal"]
    assert head.split() == {30: least, 60: least, 80: full[:5], 120: full, 200: full}[width]
    assert max(map(cell_len, lines)) <= max(width, cell_len(f"{long}  finished   12/12  error 0.02122"))
    if width == 120:
        assert any(line.rstrip().endswith("…") for line in lines)


@pytest.mark.parametrize(("state", "shown"), [("finished", "finished"), ("running", "running"), (None, "not started")])
def test_tables_fit_into_a_hundred_columns(make_round, tmp_path, state, shown):
    store = make_round(name="a-name-" * 12, state=state, goal="A goal. " * 30, measured=False)
    rounds = "\n".join(shown_rounds(tmp_path, width=100))
    assert [text for text in ("finished", "running", "not started") if text in rounds] == [shown]
    assert store.name in rounds
    text_of(summary(store), width=100)
    assert any(line.startswith("device") for line in table_lines(summary(store)))
