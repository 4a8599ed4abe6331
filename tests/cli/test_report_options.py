"""The command that makes a page of other tools' trials."""

from __future__ import annotations

import subprocess
import sys

import optuna
import pytest

from raytune_playbook.cli import main
from raytune_playbook.cli.report_options import ReportOptions
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
    sentence, path = done.stdout.splitlines()
    assert sentence
    page = (tmp_path / path).read_text()
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
    assert (tmp_path / "mlp_report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from-csv", "trials.csv", "--from-optuna", "x.db"], "--from-optuna and --from-csv name two"),
        (["--study", "mlp"], "--study is about other tools' trials"),
        (["--from-csv", "trials.csv", "--split", "train"], "--split is about a round's own metrics"),
        ([], "Name a ROUND"),
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
