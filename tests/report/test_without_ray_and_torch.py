"""Whoever only looks at rounds, asks one to end, or asks for what cannot be, needs neither ray nor torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raytune_playbook.records.driving.claims import claimed, driving
from raytune_playbook.records.driving.requests import Answer, answer, requests_to
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


def test_advising(make_round):
    store = make_round(trials_per_arm=2)
    done = subprocess.run(command("advise", store.storage.uri), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Digits: choose a batch size\n")


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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "none.py"], "'none.py' is not one; name the file."),
        (["check", "none.py"], "'none.py' is not one; name the file."),
        (["preprocess", "none.py"], "'none.py' is not one; name the file."),
        (["run", "job.py", "--storage", "/dev/null/rounds"], "it must be writable, but '/dev/null/rounds' is not"),
        (["preprocess", "job.py", "--storage", "/dev/null/rounds"], "it must be writable"),
        (["run", "job.py", "--storage", "nowhere://bucket"], "a URI that pyarrow knows is needed"),
        (["resume", "other"], "Round 'other' must be in the storage"),
        (["predict", "norms", "norm=none/0", "--split", "test"], "did you mean 'norms-1'?"),
        (["predict", "norms-1", "norm=nine/0", "--split", "test"], "the round's studies are norm=none, norm=batch."),
        (["variance", "norms"], "did you mean 'norms-1'?"),
        (["resume", "norms-1"], "'jobs/norms.py' is not one"),
        (["extend", "norms-1", "--num-trials", "4"], "has 4 and 4 were asked for; ask for more."),
        (["extend", "norms-1", "--num-trials", "3"], "has 4 and 3 were asked for; ask for more."),
    ],
)
def test_what_cannot_be_is_refused(make_round, tmp_path, arguments, sentence):
    store = make_round(arms=[{"norm": "none"}, {"norm": "batch"}], trials_per_arm=2)
    (tmp_path / "job.py").write_text("raise AssertionError('it was run')")
    if "--storage" not in arguments and arguments[0] != "check":
        arguments = [*arguments, "--storage", store.storage.uri]
    done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
