"""The walk that ``jobs/README.md`` tells: its commands, and what they print.

``python -m tests.walk`` runs it in a fresh folder, as its reader would, and writes what the commands print into the
file. ``python -m tests.walk FOLDER`` runs the same commands in that folder, in one process and on one cluster, for
`tests/test_walk.py`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import raytune_playbook.cli
from tests.conftest import running_cluster

DOCUMENT = Path(__file__).parents[1] / "jobs" / "README.md"

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

NUM_CPUS = 2
"""Of the machine that the document speaks of."""

PRINTED = "printed.json"

COLUMNS = "120"
"""As wide as the document's lines."""


@dataclass(frozen=True)
class Step:
    """A command of the walk, and what the document says it prints."""

    command: str
    printed: tuple[str, ...]


def steps(document: str) -> list[Step]:
    """The commands of a document's console blocks, in order."""
    found: list[Step] = []
    for block in _BLOCK.findall(document):
        command: str | None = None
        printed: list[str] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                if command is not None:
                    found.append(Step(command, tuple(printed)))
                command, printed = line.removeprefix("$ "), []
            else:
                printed.append(line)
        if command is not None:
            found.append(Step(command, tuple(printed)))
    return found


def with_printed(document: str, printed: Sequence[str]) -> str:
    """The document with what each of its commands has printed, in order."""
    left = iter(printed)

    def block(match: re.Match[str]) -> str:
        lines = []
        for step in steps(match.group(0)):
            lines += [f"$ {step.command}", *next(left).splitlines()]
        return "\n".join(["```console", *lines, "```"])

    return _BLOCK.sub(block, document)


def run_all(document: str, folder: Path) -> list[str]:
    """Run the commands in a folder, each in a shell of its own, and return what each prints.

    Raises:
        CalledProcessError: one of them fails.
    """
    printed = []
    for step in steps(document):
        ended = subprocess.run(
            ["bash", "-c", step.command],
            cwd=folder,
            env=os.environ | {"COLUMNS": COLUMNS},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        sys.stdout.write(f"$ {step.command}\n{ended.stdout}")
        sys.stdout.flush()
        ended.check_returncode()
        printed.append("\n".join(line.rstrip() for line in ended.stdout.replace(f"{folder}/", "").splitlines()))
    return printed


def run_here(document: str, folder: Path) -> list[str]:
    """The same in this process, on a cluster of a laptop's size; so nothing but the commands takes time."""
    os.chdir(folder)
    os.environ["COLUMNS"] = COLUMNS
    printed = []
    with running_cluster(NUM_CPUS):
        for step in steps(document):
            program, *arguments = shlex.split(step.command)
            assert program == "raytune-playbook", step.command
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = raytune_playbook.cli.main(arguments)
            assert code == 0, f"{step.command}: {code}\n{said.getvalue()}"
            printed.append(said.getvalue())
    return printed


def main() -> None:
    """Run the walk and write what it prints."""
    if sys.argv[1:]:
        folder = Path(sys.argv[1])
        (folder / PRINTED).write_text(json.dumps(run_here(DOCUMENT.read_text(), folder)))
        return
    document = DOCUMENT.read_text()
    with tempfile.TemporaryDirectory(prefix="walk") as folder:
        DOCUMENT.write_text(with_printed(document, run_all(document, Path(folder).resolve())))


if __name__ == "__main__":
    main()
