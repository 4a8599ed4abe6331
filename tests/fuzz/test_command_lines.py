"""Command lines of commands that only read or ask a cluster: a sentence and its exit code, or what was asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from raytune_playbook.cli.group import commands
from raytune_playbook.records.store import RoundStore
from tests.cli.test_hopeless import job
from tests.fuzz.inputs import JSON_VALUES, ODD_NUMBERS, ODD_TEXTS, content_of, mutated_json
from tests.fuzz.recorded import NAME, kept, ran, write_whole
from tests.ports import free_port
from tests.submission.answers import answering

ASKING = ("status", "logs", "cancel", "submit", "manifest")
"""Commands that ask a cluster, or look at a job for one."""

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


# ---------------------------------------------------------------------- commands that ask a cluster


class Dashboard:
    """A server that answers like a dashboard, or like something else.

    Fields:
        page_of: what it answers, by path.
        url: where it is.
    """

    def __init__(self) -> None:
        self.page_of: dict[str, bytes | None] = {}
        self.url = ""

    def answer(self, path: str) -> bytes | None:
        """By the part of the path that tells what is asked."""
        asked = "version" if path == "/api/version" else "logs" if path.endswith("/logs") else "job"
        return self.page_of.get(asked)


@pytest.fixture(scope="module")
def dashboard() -> Iterator[Dashboard]:
    made = Dashboard()
    with answering(made.answer) as made.url:
        yield made


@pytest.fixture(scope="module")
def job_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(job(tmp_path_factory.mktemp("asking")))


VERSION = {"version": "4", "ray_version": "2.56.0", "ray_commit": "none", "session_name": "none"}
ENDED = {"type": "SUBMISSION", "job_id": None, "submission_id": "any", "driver_info": None, "status": "SUCCEEDED"}
ENDED |= {"entrypoint": "x", "message": "It has ended.", "error_type": None, "start_time": 1, "end_time": 2}
ENDED |= {"metadata": {}, "runtime_env": {}, "driver_exit_code": 0}
GIVEN = {
    "--image": st.sampled_from(["image:1", "a/b@sha256:0", ":", "-"]),
    "--overlay": st.sampled_from(["gpu", "spot", "autoscaling", "kueue", "object-store", "cpu"]),
    **dict.fromkeys(("--pods", "--pod-cpus", "--pod-memory-gib", "--pod-gpus"), st.sampled_from(["1", "4", "1000"])),
    "--storage": st.sampled_from(
        ["/mnt/storage", "/mnt/storage/a b", "s3://bucket/rounds", "foo://x", "s3://", "gs://b", "file:///mnt/storage"]
    ),
}
"""What an option may be given beside anything."""


@st.composite
def pages(draw: st.DrawFn) -> dict[str, bytes | None]:
    """What a dashboard says, most of the time as it should; None where it refuses."""
    right = {"version": VERSION, "job": ENDED, "logs": {"logs": "It began.\n"}}
    answers: dict[str, bytes | None] = {}
    for asked, page in right.items():
        others = st.one_of(mutated_json(page), JSON_VALUES.map(lambda value: json.dumps(value).encode()), st.none())
        answers[asked] = json.dumps(page).encode() if draw(st.integers(0, 3)) else draw(others)
    return answers


@st.composite
def asking_lines(draw: st.DrawFn, job_file: Path) -> list[str]:
    """A command with its arguments and options, without an address."""
    name = draw(st.sampled_from(ASKING))
    line: list[str] = []
    for parameter in commands.commands[name].params:
        option = max(parameter.opts, key=len)
        values = GIVEN.get(option, NAMES) if draw(st.integers(0, 2)) else NAMES
        if isinstance(parameter, click.Argument):
            right = str(job_file) if option == "job" else "any"
            line += [right] if draw(st.integers(0, 5)) else draw(st.lists(values, max_size=2))
        elif option != "--address" and not draw(st.integers(0, 3)):
            line += [option] if getattr(parameter, "is_flag", False) else [option, draw(values)]
    return [name, *line]


@given(data=st.data(), answers=st.one_of(st.none(), pages()))
def test_a_command_line_that_asks_a_cluster_is_answered_and_changes_nothing(
    dashboard: Dashboard, job_file: Path, data: st.DataObject, answers: dict[str, bytes | None] | None
) -> None:
    """No job runs there, so that none goes on; nobody listens where there are no answers."""
    line = data.draw(asking_lines(job_file))
    if line[0] != "manifest":
        line += ["--address", f"http://127.0.0.1:{free_port()}" if answers is None else dashboard.url]
    dashboard.page_of = answers or {}
    before = content_of(job_file.parent)
    event(f"{line[0]} ends with {ran([as_given(text) for text in line])}")
    assert {name: was for name, was in content_of(job_file.parent).items() if "__pycache__" not in name} == before
