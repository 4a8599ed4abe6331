"""Which cluster a session joins: refused by a look where there can be none, and an empty variable is no address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raytune_playbook.cli import main
from raytune_playbook.engine.session import cluster_address
from raytune_playbook.errors import CapacityError
from tests.cli.test_hopeless import job

URLS = ("http://head:8265", "https://head", "ray://head:10001")


@pytest.mark.parametrize("address", ["", " ", "\t\n", *URLS])
def test_what_names_no_cluster_is_refused(address):
    with pytest.raises(CapacityError, match=r"joins a cluster at HOST:PORT.*, but got .*`raytune-playbook submit`\.$"):
        cluster_address(address)


def test_the_variable_counts_where_no_address_is_given_and_empty_it_is_none(monkeypatch):
    for value, address in [("", None), (" ", None), ("head:6379", "head:6379")]:
        monkeypatch.setenv("RAY_ADDRESS", value)
        assert cluster_address(None) == address
        assert cluster_address("other:6379") == "other:6379"
    monkeypatch.setenv("RAY_ADDRESS", URLS[0])
    with pytest.raises(CapacityError, match=URLS[0]):
        cluster_address(None)
    monkeypatch.delenv("RAY_ADDRESS")
    assert cluster_address(None) is None


@pytest.mark.parametrize(
    "arguments",
    [["run", "JOB"], ["check", "JOB"], ["doctor"], ["resume", "line"], ["train-steps", "JOB"], ["test", "line"]],
    ids=lambda arguments: arguments[0],
)
def test_no_command_takes_an_empty_address_for_this_machine(tmp_path, capsys, arguments):
    given = [job(tmp_path) if each == "JOB" else each for each in arguments]
    assert main([*given, "--address", "", "--storage", str(tmp_path / "rounds")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "'--address': a cluster's HOST:PORT is needed, but got ''" in err
    assert not (tmp_path / "rounds").exists()


@pytest.mark.parametrize(("command", "url"), [("run", URLS[0]), ("doctor", URLS[0]), ("doctor", URLS[2])])
def test_a_url_is_refused_in_one_sentence_and_nothing_is_written(tmp_path: Path, command: str, url: str) -> None:
    """In a process of its own, for Ray warns of some by itself."""
    given = [job(tmp_path)] if command == "run" else []
    line = [sys.executable, "-m", "raytune_playbook", command, *given, "--address", url]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"but got {url!r}; correct --address" in done.stderr
    assert not (tmp_path / "rounds").exists()
