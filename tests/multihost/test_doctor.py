"""The doctor at a cluster of three hosts: whole but for its token, then with what clusters suffer from."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.multihost.conftest import PORT, Host, Hosts, folder_of_its_own, run_command

pytestmark = pytest.mark.timeout(600)


@contextlib.contextmanager
def slow_link(host: Host, mbit_per_s: int) -> Iterator[None]:
    queue = ("qdisc", "add", "dev", "eth0", "root", "tbf")
    limits = ("rate", f"{mbit_per_s}mbit", "burst", "64kb", "latency", "400ms")
    try:
        run_command("tc", "-netns", host.namespace, *queue, *limits)
    except RuntimeError as error:
        pytest.skip(f"a slow link needs a kernel that has token buckets: {error}")
    try:
        yield
    finally:
        run_command("tc", "-netns", host.namespace, "qdisc", "del", "dev", "eth0", "root")


def doctor(hosts: Hosts, storage: Path) -> dict[str, list[str]]:
    """Its lines by level and subject, such as ``{"wrong storage": [...]}``."""
    command = [sys.executable, "-m", "raytune_playbook", "doctor", "--storage", str(storage)]
    at = ["--address", f"{hosts.head.address}:{PORT}"]
    done = subprocess.run(
        hosts.head.command(*command, *at), env=hosts.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr  # these clusters want no token
    whole = re.sub(r" *\n {8,}", " ", done.stdout)  # what went on in the next line
    lines: dict[str, list[str]] = {}
    for level, subject, sentence in re.findall(r"^(ok|look|wrong) +(\S+(?: \S+)*)  +(.*?) *$", whole, re.MULTILINE):
        lines.setdefault(f"{level} {subject}", []).append(sentence)
    return lines


def test_a_folder_that_is_not_shared_and_a_slow_link_are_found(hosts, tmp_path):
    whole = doctor(hosts, tmp_path)
    assert [key for key in whole if key.startswith("wrong")] == ["wrong token"]
    assert {"ok nodes", "ok versions", "ok clocks", "ok interface", "ok all-reduce", "ok storage"} <= set(whole)
    assert whole["ok nodes"][0].startswith("3 nodes answer: head (10.213.7.1), one (10.213.7.2), two (")
    with folder_of_its_own(hosts.two, tmp_path), slow_link(hosts.one, mbit_per_s=200):
        sick = doctor(hosts, tmp_path)
    assert {key for key in sick if key.startswith("wrong")} == {"wrong storage", "wrong token"}
    (sentence,) = sick["wrong storage"]
    assert sentence.startswith(
        f"{tmp_path} is not one folder for all nodes: head, one do not see what two wrote; two does not see what head, "
        "one wrote; name a folder"
    )
    assert "look all-reduce" in sick
    assert list(tmp_path.iterdir()) == []
