"""The walk of ``jobs/README.md``, command by command, from an empty folder to a launched model."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys

import pytest

from raytune_playbook.cli import main
from raytune_playbook.records.procedures import all_procedures
from raytune_playbook.records.storage import Storage
from tests.walk import COLUMNS, DOCUMENT, Step, steps, with_printed


def run_here(command: str) -> str:
    """Run a command of the walk in this process, which is connected to a cluster, and return what it prints."""
    program, *arguments = shlex.split(command)
    assert program == "raytune-playbook"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(arguments)
    assert code == 0, f"{command}: {code}\n{printed.getvalue()}"
    return printed.getvalue()


@pytest.mark.timeout(900)
def test_every_command_of_the_walk_does_what_it_says(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", COLUMNS)
    monkeypatch.setattr(sys, "path", sys.path[:])
    walked = steps(DOCUMENT.read_text())
    said = {step.command: run_here(step.command).splitlines() for step in walked[:-1]}
    last = run_here(walked[-1].command).splitlines()
    assert run_here("raytune-playbook advise")  # again, and to no other end
    assert walked[0].command == walked[-1].command == "raytune-playbook advise"
    assert walked[0].printed[0] == "Choose a batch size"
    assert (last[0], last[-1].split(":")[0]) == ("DigitsWorkload: launched", "Launched")
    done = {record.procedure for record in all_procedures(Storage("rounds"))}
    assert done >= {"check-initial", "batch-size", "train-steps", "stability", "variance", "launch", "test"}
    for step in walked:
        assert step.printed, step.command
        named = [line for line in step.printed if _is_a_command(line)]
        assert all(main([*shlex.split(line)[1:2], "--help"]) == 0 for line in named)
    assert said


def _is_a_command(line: str) -> bool:
    return re.match(r"\s+raytune-playbook ", line) is not None


def test_a_walk_is_read_and_written_as_it_stands():
    text = "Before.\n\n```console\n$ one a\nsaid\n$ two\n```\n\n```python\n$ no\n```\n\n```console\n$ three\n```\n"
    assert steps(text) == [Step("one a", ("said",)), Step("two", ()), Step("three", ())]
    written = with_printed(text, ["1\n", "2\n2", ""])
    assert steps(written) == [Step("one a", ("1",)), Step("two", ("2", "2")), Step("three", ())]
    assert written.startswith("Before.\n\n```console\n$ one a\n1\n$ two\n2\n2\n```\n\n```python\n$ no\n```\n")
