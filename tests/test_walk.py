"""The walk of ``jobs/README.md``, command by command, from an empty folder to a launched model."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest

from raytune_playbook.cli import main
from raytune_playbook.records.procedures import readable_procedures
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from tests.walk import DOCUMENT, PRINTED, Step, steps, with_printed


@pytest.mark.timeout(900)
@pytest.mark.cluster
def test_every_command_of_the_walk_does_what_it_says(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.walk", str(tmp_path)],
        cwd=DOCUMENT.parents[1], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    printed = [each.splitlines() for each in json.loads((tmp_path / PRINTED).read_text())]
    walked = steps(DOCUMENT.read_text())
    assert walked[0].command == walked[-1].command == "raytune-playbook advise"
    assert walked[0].printed[0] == printed[0][0] == "Choose a batch size"
    for last in (printed[-1], walked[-1].printed):
        assert (last[0], last[-1].split(":")[0]) == ("DigitsWorkload: launched", "Launched")
    rounds = [RoundStore(Storage(str(tmp_path / "rounds")), name) for name in ("digits", "digits_2")]
    done = {record.procedure for store in rounds for record in readable_procedures(store).found}
    assert done == {"check-initial", "batch-size", "train-steps", "stability", "variance", "launch", "test"}
    assert [not step.printed for step in walked] == [not lines for lines in printed]


def test_the_walk_names_commands_that_there_are(capsys):
    walked = steps(DOCUMENT.read_text())
    named = [step.command for step in walked] + [line for step in walked for line in step.printed if _is_one(line)]
    assert len(named) > 20
    for verb in {shlex.split(command)[1] for command in named}:
        assert main([verb, "--help"]) == 0, verb


def _is_one(line: str) -> bool:
    return re.match(r"\s+raytune-playbook ", line) is not None


def test_a_walk_is_read_and_written_as_it_stands():
    text = "Before.\n\n```console\n$ one a\nsaid\n$ two\n```\n\n```python\n$ no\n```\n\n```console\n$ three\n```\n"
    assert steps(text) == [Step("one a", ("said",)), Step("two", ()), Step("three", ())]
    written = with_printed(text, ["1\n", "2\n2", ""])
    assert steps(written) == [Step("one a", ("1",)), Step("two", ("2", "2")), Step("three", ())]
    assert written.startswith("Before.\n\n```console\n$ one a\n1\n$ two\n2\n2\n```\n\n```python\n$ no\n```\n")
