"""The command line: bad input is one sentence, exit code 2, and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raytune_playbook.cli import commands, main
from raytune_playbook.errors import Infeasible, InputError, RunError
from raytune_playbook.records.storage import Storage
from raytune_playbook.report import terminal

JOB = """
from raytune_playbook import Budget, Categorical, Discrete, Float, Int, Objective, Resources, Round
from raytune_playbook.workloads.digits import DigitsResNet

round = Round(
    name="bad", goal="Is it refused?", workload=DigitsResNet(), {roles}
    objective=Objective(metric="error"),
    budget=Budget(num_trials=4, max_train_steps=10, evaluation_interval_steps=5), {more}
)
"""


def job(folder: Path, roles: str = "", more: str = "") -> Path:
    file = folder / "bad_job.py"
    file.write_text(JOB.format(roles=roles, more=more))
    return file


def refused(capsys: pytest.CaptureFixture[str], storage: Path, *arguments: str, before: str = "") -> str:
    """The one sentence with which a command is refused, and what it may have printed ``before``."""
    assert main([*arguments, "--storage", str(storage)]) == 2
    printed = capsys.readouterr()
    assert printed.out == before
    assert "Traceback" not in printed.err
    assert printed.err.count("\n") == 1
    assert not storage.exists()
    return printed.err


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [
        ('nuisance={"learning_rate": Float(1.0, 0.1)},', "low < high must hold, but got low=1.0, high=0.1"),
        ('nuisance={"learning_rate": Float(0.0, 0.1, scale="log")},', "a log scale needs low > 0, but got low=0.0"),
        ('nuisance={"learning_rat": Float(0.1, 1.0)},', "has no 'learning_rat'; did you mean 'learning_rate'?"),
        ('nuisance={"max_train_steps": Int(10, 100)},', "gives all trials one length"),
        ('scientific={"num_epochs": Int(10, 100)},', "gives all trials one length"),
        ('nuisance={"batch_size": Discrete([32, 64])},', "chooses it by training time and does not tune it"),
        ('scientific={"width": Discrete([8, 4])},', "values must rise strictly"),
        ('fixd={"width": 8},', "Round has no field 'fixd'"),
        ('fixed={"evaluation_batch_size": 32},', "evaluation_batch_size must be at least batch_size"),
        ('fixed={"optimizer": "adamx"},', "optimizer must be one of sgd, momentum,"),
        ('fixed={"optimizer": "adam", "beta2": 1.0},', "beta2 must be at least 0 and below 1, but got 1"),
        (
            'scientific={"schedule": Categorical(["linear", "step"])},',
            "schedule must be one of constant, linear, cosine",
        ),
        ('fixed={"schedule": "cosine", "decay_steps": 11},', "decay_steps"),
        ('fixed={"clipping_norm": 0.0},', "clipping_norm must be above 0, but got 0"),
        ('fixed={"averaging": "mean"},', "averaging must be one of none, exponential, uniform"),
        ('fixed={"batch_norm": "host"},', "batch_norm must be one of device, sync, ghost"),
        ('fixed={"precision": "float16"},', "precision must be one of float32, bfloat16"),
        (
            'fixed={"batch_size": 65}, resources=Resources(num_workers=2),',
            "batch_size must be a multiple of the number of workers, but got 65 over 2 workers",
        ),
    ],
)
def test_a_round_that_breaks_a_rule_is_refused_in_one_sentence(tmp_path, capsys, roles, sentence):
    assert sentence in refused(capsys, tmp_path / "rounds", "run", str(job(tmp_path, roles)))


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ("x", "--profile: the first and the last step to trace, such as 10-12, are needed, but got 'x'"),
        ("5-4", "1 <= first <= last <= max_train_steps must hold, but got 5 and 4 with 10 steps"),
        ("9-11", "1 <= first <= last <= max_train_steps must hold, but got 9 and 11 with 10 steps"),
    ],
)
def test_pi4_steps_that_cannot_be_traced_are_refused_in_one_sentence(tmp_path, capsys, steps, sentence):
    assert sentence in refused(capsys, tmp_path / "storage", "run", str(job(tmp_path)), "--profile", steps)


def test_a_missing_or_broken_job_file_is_refused_in_one_sentence(tmp_path, capsys):
    storage = tmp_path / "rounds"
    assert "is not one; name the file" in refused(capsys, storage, "run", str(tmp_path / "none.py"))
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_this_name\n")
    sentence = refused(capsys, storage, "run", str(broken))
    assert "broken.py raises ModuleNotFoundError" in sentence
    assert "line 1" in sentence
    broken.write_text("def round(:\n")
    assert "raises SyntaxError" in refused(capsys, storage, "run", str(broken))
    broken.write_text("answer = 42\n")
    assert "defines exactly one Round" in refused(capsys, storage, "run", str(broken))


WANTS_WIDTH = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, {how})
width = parser.parse_args().width
"""


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import sys\nsys.exit()\n", "bad_job.py ends the program with sys.exit() (FILE, line 2); take that out"),
        ("import sys\nsys.exit(0)\n", "ends the program with sys.exit(0) (FILE, line 2)"),
        ("raise SystemExit('no data')\n", "ends the program with sys.exit('no data') (FILE, line 1)"),
        ("import json\njson.loads('{')\n", "raises JSONDecodeError: Expecting property name enclosed in double quotes"),
        ("import json\njson.loads('{')\n", "(FILE, line 2); correct it."),
        ("x = 1\nround(:\n", "raises SyntaxError: invalid syntax (FILE, line 2); correct it."),
        (WANTS_WIDTH.format(how="required=True"), "argparse: the following arguments are required: --width"),
        ("import argparse\nargparse.ArgumentParser().exit(3)\n", "sys.exit(3) (FILE, line 2)"),
    ],
)
def test_a_job_file_that_ends_the_program_is_refused_in_one_sentence(tmp_path, capsys, code, sentence):
    file = job(tmp_path)
    file.write_text(code)
    assert sentence.replace("FILE", str(file)) in refused(capsys, tmp_path / "rounds", "run", str(file))


def test_a_job_file_that_parses_arguments_gets_none_and_its_defaults(tmp_path, capsys, monkeypatch):
    """And not the command's own; here a rule that the round breaks tells which width it got."""
    file = job(tmp_path, 'fixed={"widht": width},')
    file.write_text(WANTS_WIDTH.format(how="default=5") + "assert width == 5\n" + file.read_text())
    monkeypatch.setattr(sys, "argv", ["raytune-playbook", "run", str(file), "--width", "6"])
    assert "did you mean 'width'" in refused(capsys, tmp_path / "rounds", "run", str(file))
    assert sys.argv[-1] == "6"


def test_more_workers_than_the_cluster_can_hold_are_refused(cluster, tmp_path, capsys):
    file = job(tmp_path, more="resources=Resources(num_workers=64),")
    sentence = refused(capsys, tmp_path / "rounds", "run", str(file), before="bad: Is it refused?\n")
    assert "64 worker(s) needs 64 CPUs" in sentence


def test_a_storage_that_cannot_be_written_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["run", str(job(tmp_path)), "--storage", str(tmp_path / "file" / "rounds")]) == 2
    assert "it must be writable" in capsys.readouterr().err
    assert main(["run", str(job(tmp_path)), "--storage", "nowhere://bucket"]) == 2
    assert "a URI that pyarrow knows" in capsys.readouterr().err


def test_a_round_that_is_not_there_is_refused(tmp_path, capsys):
    for command in ("resume", "report", "stop", "note"):
        assert "must be in the storage" in refused(capsys, tmp_path / "rounds", command, "nothing")


def test_a_note_that_says_nothing_is_refused(tmp_path, capsys):
    for text in ("", " \n"):
        assert "A note says something, but got an empty text" in refused(
            capsys, tmp_path / "rounds", "note", "nothing", text
        )


@pytest.mark.parametrize(
    "arguments",
    [
        ["rounds", "--storage", "nowhere"],
        ["advise", "nowhere"],
        ["serve", "nowhere"],
        ["launch", "--list", "--storage", "nowhere"],
        ["launch", "--output", "launches.csv", "--storage", "nowhere"],
        ["rounds", "--storage", "rounds"],
    ],
)
def test_a_storage_that_is_named_to_be_read_must_be_there(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"there is no '{tmp_path}/{'rounds' if 'rounds' in arguments[2:] else 'nowhere'}'; correct it" in printed.err
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_default_storage_may_still_come(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["rounds"]) == 0
    assert capsys.readouterr().out == (
        f"No rounds yet in {tmp_path}/rounds; begin with a job file: raytune-playbook new my_job.py\n"
    )
    assert main(["advise"]) == 0
    assert "raytune-playbook new my_job.py" in capsys.readouterr().out
    assert main(["launch", "--list"]) == 0
    assert "Nothing was launched yet" in capsys.readouterr().out


ENDS: list[tuple[BaseException | None, int]] = [
    (None, 0),
    (KeyboardInterrupt(), 130),
    (RunError("The driver stopped."), 1),
    (Infeasible("too deep"), 1),
    (InputError("It must be so."), 2),
    *((error("It must be so."), 2) for error in InputError.__subclasses__()),
]


@pytest.mark.parametrize(("error", "code"), ENDS, ids=[type(error).__name__ for error, _ in ENDS])
def test_how_a_command_ends_is_its_exit_code(monkeypatch, capsys, error, code):
    def ends(storage: Storage, *, width: int | None, has_parts: bool) -> str:
        if error is not None:
            raise error
        return "a table"

    monkeypatch.setattr(terminal, "rounds_table", ends)
    assert main(["rounds"]) == code
    printed = capsys.readouterr()
    assert printed.out == ("" if error else "a table\n")
    assert printed.err == ("" if error is None else f"{error}\n" if str(error) else "Interrupted.\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Missing command"),
        (
            ["lengthen", "x", "--max-train-steps", "9", "--branch-decays=-5"],
            "numbers of steps, such as 100,200,400, but",
        ),
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument 'JOB'; see raytune-playbook run --help."),
        (["run", "a.py", "b.py"], "Got unexpected extra argument"),
        (["extend", "moons"], "Missing option '--num-trials'"),
        (["extend", "moons", "--num-trials", "many"], "'many' is not a valid integer"),
        (["rounds", "--storag", "here"], "--storage"),
    ],
)
def test_a_wrong_usage_is_bad_input_in_one_sentence(capsys, arguments, sentence):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert printed.err.count("\n") == 1


def test_help_lists_every_command_with_its_whole_sentence(capsys):
    assert main(["--help"]) == main(["-h"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name, command in commands.commands.items():
        assert f"{name} {command.help.splitlines()[0]}" in text


@pytest.mark.parametrize(("verb", "code"), [("rounds", 0), ("report nothing", 2)])
def test_the_process_exits_with_the_code(tmp_path, verb, code):
    command = [sys.executable, "-m", "raytune_playbook", *verb.split(), "--storage", str(tmp_path)]
    assert subprocess.run(command, capture_output=True).returncode == code


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("re", ["resume", "report"]),
        ("extend --n", ["--num-trials"]),
        ("run jo", ["files"]),
        ("rounds --storage ro", ["files"]),
    ],
)
def test_bash_completes_verbs_options_and_files(tmp_path, words, completed):
    program = tmp_path / "raytune-playbook"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m raytune_playbook "$@"\n')
    program.chmod(0o755)
    script = f"""
        eval "$(_RAYTUNE_PLAYBOOK_COMPLETE=bash_source raytune-playbook)"
        compopt() {{ [ "$1 $2" = "-o default" ] && echo files; }}  # bash has it only while one types
        COMP_WORDS=(raytune-playbook {words}) COMP_CWORD={len(words.split())}
        _raytune_playbook_completion raytune-playbook
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == completed, done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "slow"),
    [
        (["--help"], {}, {"ray", "torch", "pyarrow"}),
        (
            [],
            {"_RAYTUNE_PLAYBOOK_COMPLETE": "bash_complete", "COMP_WORDS": "x r", "COMP_CWORD": "1"},
            {"ray", "torch", "pyarrow"},
        ),
        (["rounds"], {}, {"ray", "torch"}),
    ],
    ids=["help", "completion", "rounds"],
)
def test_what_is_slow_to_import_waits_until_it_is_needed(tmp_path, arguments, environment, slow):
    code = f"""
import sys
from raytune_playbook.cli import main
try:
    main({arguments})
finally:
    assert not {slow} & set(sys.modules), "imported"
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, cwd=tmp_path)
    assert "imported" not in done.stderr
    assert "r" in done.stdout
