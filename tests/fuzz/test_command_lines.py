"""Command lines of commands that only read: a sentence and its exit code, or what was asked for; nothing changes."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from raytune_playbook.cli.group import commands
from raytune_playbook.records.store import RoundStore
from tests.fuzz.inputs import ODD_NUMBERS, ODD_TEXTS
from tests.fuzz.recorded import NAME, kept, ran, write_whole

READING = ("rounds", "advise", "report", "propose", "note", "launch", "stop")

AS_IT_IS = {"propose": ["--dry-run"], "launch": ["--list"], "note": []}
"""What keeps a command from doing more than reading."""

NOT_GIVEN = {"--from-ray-tune", "--from-optuna", "--from-csv", "--output", "--static", "--yes"}
"""What reads or writes elsewhere."""

STUDY = "batch_norm=device"
NAMES = st.one_of(
    st.just(NAME),
    st.sampled_from(
        [NAME, STUDY, f"{STUDY}/0", f"{STUDY}/00001.r1", "0", "loss", "error", "validation", "best", "last"]
    ),
    ODD_TEXTS,
    ODD_NUMBERS.map(str),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RoundStore:
    return write_whole(tmp_path_factory.mktemp("lines"))


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command with arguments and options of its own, some of them given odd values, twice, or not at all."""
    name = draw(st.sampled_from(READING))
    given_: list[str] = []
    for parameter in commands.commands[name].params:
        option = max(parameter.opts, key=len)
        if option in NOT_GIVEN or option == "--storage" or not draw(st.booleans()):
            continue
        if isinstance(parameter, click.Argument):
            given_ += [] if name == "note" and parameter.name == "text" else [draw(NAMES)]
        else:
            given_ += [option] if getattr(parameter, "is_flag", False) else [option, draw(NAMES)]
    if name != "note":  # to which a text is one to add
        given_ += draw(st.one_of(st.just([]), st.lists(st.one_of(NAMES, st.just("--help")), max_size=1)))
    return [name, *AS_IT_IS.get(name, ["--trial", "none"] if name == "stop" else []), *given_]


def as_given(text: str) -> str:
    """As a shell hands it over: without a null, and bytes that are no UTF-8 as Python has them."""
    return os.fsdecode(text.replace("\0", "").encode(errors="surrogatepass"))


@given(line=lines(), storage=st.one_of(st.just("rounds"), st.just("rounds"), ODD_TEXTS))
def test_a_command_line_that_reads_is_answered_and_changes_nothing(
    store: RoundStore, tmp_path_factory: pytest.TempPathFactory, line: list[str], storage: str
) -> None:
    root = Path(store.storage.root)
    named = str(root) if storage == "rounds" else storage
    if named.startswith("s3:"):
        named = "."
    folder = Path.cwd()
    os.chdir(tmp_path_factory.getbasetemp())
    try:
        with kept(store):
            event(f"exit code {ran([as_given(text) for text in (*line, '--storage', named)])}")
    finally:
        os.chdir(folder)
