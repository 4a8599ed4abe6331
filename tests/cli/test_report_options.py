"""The command that makes a page of other tools' trials."""

from __future__ import annotations

import subprocess
import sys

import optuna
import pytest

from raytune_playbook.cli import main
from raytune_playbook.cli.report_options import MOST_NEXT, ReportOptions
from raytune_playbook.study.settings import Objective
from tests.report.test_without_ray_and_torch import command


@pytest.fixture
def csv(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{0.01 * (row + 1):.3f},{'ab'[row % 2]},{row % 7 + 1.5}" for row in range(20)]
    (tmp_path / "trials.csv").write_text("\n".join(["lr,<kind>,loss", *rows]) + "\n")
    return tmp_path / "trials.csv"


def test_a_page_is_written_without_ray_and_torch(csv, tmp_path):
    given = [
        "report",
        "--from-csv",
        "trials.csv",
        "--objective",
        "loss",
        "--scientific",
        "<kind>",
        "--output",
        "a.html",
    ]
    done = subprocess.run(command(*given), capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    trials, answer, *todo, path = done.stdout.splitlines()
    assert trials == "Trials: 20 completed."
    page = (tmp_path / path).read_text()
    assert answer in page
    assert todo
    for line in todo:
        assert line.startswith("Next: ")
        assert line.removeprefix("Next: ") in page
    assert "recorded in trials.csv" in page
    assert "--scientific &#39;&lt;kind&gt;&#39;" in page  # the command that makes it again
    assert "What was searched is taken from the values that were tried: lr " in page
    assert "fingerprint of" not in page


def test_a_page_of_an_optuna_study_is_named_like_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(storage="sqlite:///optuna.db", study_name="mlp")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert main(["report", "--from-optuna", "sqlite:///optuna.db"]) == 0
    assert capsys.readouterr().out.endswith("\nmlp_report.html\n")
    page = (tmp_path / "mlp_report.html").read_text()
    assert main(["report", "--from-optuna", "sqlite:///optuna.db"]) == 0  # replaces the page, and no other file
    (tmp_path / "job.py").write_text(f"round = {page!r}")
    assert main(["report", "--from-optuna", "sqlite:///optuna.db", "--output", "job.py"]) == 2
    assert "Only pages written before may be replaced, but 'job.py' holds none" in capsys.readouterr().err
    assert (tmp_path / "job.py").read_text().startswith("round = ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from-csv", "trials.csv", "--from-optuna", "x.db"], "--from-optuna and --from-csv name two"),
        (["--study", "mlp"], "--study is about other tools' trials"),
        (["--from-csv", "trials.csv", "--split", "train"], "--split is about a round's own metrics"),
        ([], "Name a ROUND"),
        (["mlp", "--from-csv", "trials.csv"], "not both"),
        (["--from-csv", "trials.csv", "--study", "mlp"], "--study names one of Optuna's studies"),
        (["--from-csv", ".", "--objective", "loss"], "'.' is none that can be read ("),
        (["--from-csv", "", "--objective", "loss"], "there is no file ''"),
        (["--from-ray-tune", "trials.csv"], "cannot be listed (not a directory)"),
        (["--from-csv", "nowhere.csv", "--objective", "loss"], "there is no file 'nowhere.csv'"),
        (["--from-csv", "trials.csv", "--objective", "los"], "did you mean 'loss'?"),
        (["--from-csv", "trials.csv", "--objective", "loss", "--fixed", "lr"], "--fixed takes NAME=VALUE"),
        (["--from-csv", "trials.csv", "--objective", "loss", "--output", "no/where.html"], "correct --output"),
        (["--from-csv", "trials.csv", "--objective", "loss", "--roles", "none.toml"], "cannot be read"),
        (["--from-optuna", "sqlite:///nowhere.db"], "there is none at"),
        (["--from-ray-tune", "."], "is none; name the folder that holds"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(csv, tmp_path, capsys, arguments, words):
    assert main(["report", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert [file.name for file in tmp_path.iterdir()] == ["trials.csv"]


def test_only_some_of_what_to_do_next_is_said_on_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = [f"x{number}" for number in range(8)]
    rows = [[f"{(row * 7 * (place + 3)) % 101 / 101}" for place in range(8)] for row in range(60)]
    lines = [",".join([*names, "loss"]), *(",".join([*row, row[0]]) for row in rows)]
    (tmp_path / "trials.csv").write_text("\n".join(lines))
    assert main(["report", "--from-csv", "trials.csv", "--objective", "loss"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.startswith("Next: ") for line in said].count(True) == MOST_NEXT - 1
    assert said[-2].endswith(" more stand on the page.")


def test_plots_of_other_tools_trials_are_drawn_by_the_same_writer(csv, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    assert main(["report", "--from-csv", "trials.csv", "--objective", "loss", "--static", "plots"]) == 2
    assert "kaleido, which is not installed" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["trials.csv"]


def test_the_command_line_is_a_process_s_own(csv, tmp_path):
    given = [sys.executable, "-m", "raytune_playbook", "report", "--from-csv", "trials.csv", "--objective", "loss"]
    done = subprocess.run(given, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_qr5_what_is_not_said_is_as_in_the_rounds_own():
    own = Objective(metric="accuracy", goal="maximize", over="last")
    assert ReportOptions().judging(own) is None
    train = Objective(metric="accuracy", split="train", goal="maximize", over="last")
    assert ReportOptions(split="train").judging(own) == train
    assert ReportOptions(objective="loss", maximize=False, over="best").judging(own) == Objective(metric="loss")
