"""Whoever only looks at rounds, or asks one to end, needs neither ray nor torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raytune_playbook.records.claims import claimed, driving
from raytune_playbook.records.requests import Answer, answer, requests_to
from tests.waiting import wait_for

PROGRAM = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "torch"):
            raise ImportError(f"{name} is forbidden here")

sys.meta_path.insert(0, Forbidden())
from raytune_playbook.cli import main
sys.exit(main(sys.argv[1:]))
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *arguments]


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["rounds"], "norms-1"),
        (["note", "norms-1", "Looked at without them."], "Looked at without them."),
        (["report", "norms-1"], "index.html"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_listing_noting_and_reporting(make_round, arguments, printed):
    store = make_round(trials_per_arm=2)
    done = subprocess.run(command(*arguments, "--storage", store.storage.uri), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout


@pytest.mark.parametrize(("trial", "named"), [(None, None), ("norm=none/1", ("norm=none", "00001"))])
def test_stopping(make_round, trial, named):
    store = make_round(arms=[{"norm": "none"}, {"norm": "batch"}], trials_per_arm=2, state="running")
    arguments = ["stop", store.name, "--storage", store.storage.uri, *(["--trial", trial] if trial else [])]
    with (
        claimed(driving(store), say=lambda _: None) as claim,
        subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking,
    ):
        wait_for(lambda: requests_to(store, claim.run) or asking.poll() is not None)
        for name, request in requests_to(store, claim.run).items():
            assert request.trial == named
            answer(store, name, Answer(obeys=True, sentence="It ends."))
        assert asking.communicate() == ("It ends.\n", "")
    assert asking.returncode == 0
