"""Where a round comes from: the code's commit and difference, its warnings, and the command that reproduces it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raytune_playbook import RunError
from raytune_playbook.cli import main
from raytune_playbook.cli import running as commands
from raytune_playbook.engine.jobs import provenance
from raytune_playbook.engine.jobs.job_file import Job, load_job
from raytune_playbook.engine.jobs.provenance import code_state, provenance_of, round_record
from raytune_playbook.engine.rounds import run as running
from raytune_playbook.records.types import ExamplesRecord, RoundRecord
from raytune_playbook.study.checks.rules_of_thumb import warnings

JOB = """
import numpy as np
from torch import nn
from raytune_playbook import Budget, Float, Objective, Round, Workload

class Line(Workload):
    def datasets(self):
        x = np.zeros(4, np.float32)
        return {"train": {"x": x}, "validation": {"x": x}}
    def model(self, values):
        return nn.Linear(1, 1)
    def loss(self, model, batch, values):
        return model(batch["x"][:, None]).square()

round = Round(
    name="line", goal="Where is it from?", workload=Line(), nuisance={"learning_rate": Float(0.01, 0.1)},
    objective=Objective(metric="loss"), budget=Budget(num_trials=2, max_train_steps=4, evaluation_interval_steps=2),
)
"""


def git(folder: Path, *arguments: str, given: str | None = None) -> str:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, input=given, env=os.environ | own, text=True, check=True, capture_output=True).stdout


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A git repository of two committed files, with a job in a folder of it."""
    folder = tmp_path / "a checkout"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "line.py").write_text(JOB)
    (folder / "model.py").write_text("WIDTH = 1\n")
    (folder / ".gitignore").write_text("ignored\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    return folder


def head(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD").strip()


def tracked(folder: Path) -> dict[str, str]:
    """What the files hold that git knows of, or was told to know of."""
    names = git(folder, "ls-files").splitlines()
    return {name: (folder / name).read_text() for name in names if (folder / name).exists()}


def test_tr1_code_that_is_committed_has_no_difference(checkout):
    (checkout / "ignored").write_text("scratch")
    assert code_state(checkout / "jobs") == (head(checkout), "")


@pytest.mark.parametrize("how", [{"staged"}, {"unstaged"}, {"added"}, {"removed"}, {"staged", "unstaged", "added"}])
def test_tr1_commit_and_difference_make_the_code_that_ran(checkout, tmp_path, how):
    if "staged" in how:
        (checkout / "model.py").write_text("WIDTH = 2\n")
        git(checkout, "add", "model.py")
    if "unstaged" in how:
        (checkout / "model.py").write_text("WIDTH = 3\n")
    if "added" in how:
        (checkout / "jobs" / "new.py").write_text("DEPTH = 1\n")
        git(checkout, "add", "jobs/new.py")
    if "removed" in how:
        (checkout / "model.py").unlink()
    commit, difference = code_state(checkout / "jobs")
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(checkout), str(again))
    git(again, "checkout", "-q", commit)
    assert tracked(again) != tracked(checkout)
    git(again, "apply", "--index", "-", given=difference)
    assert tracked(again) == tracked(checkout)


def test_tr1_files_that_git_does_not_know_are_named(checkout):
    (checkout / "jobs" / "helper.py").write_text("DEPTH = 1\n")
    (checkout / "ignored").write_text("scratch")
    commit, difference = code_state(checkout / "jobs")
    assert (commit, difference) == (head(checkout), "# not tracked: helper.py\n")


def test_code_outside_a_checkout_has_neither(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_state(tmp_path) == (None, "")


def test_a_difference_has_an_end(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "MAX_DIFF_CHARACTERS", 10)
    (checkout / "model.py").write_text("WIDTH = 2\n")
    assert code_state(checkout)[1] == "diff --git"


SECRET = "pl4nted-s3cret"

SECRET_NAMES = (
    *(".env", ".env.local", "prod.env", "server.pem", "server.KEY", "id_rsa", "id_ed25519.old", "my_credentials.json"),
    *("Secrets.toml", "client_secret.json", ".netrc", ".pypirc", "hub_token", "token.json", ".aws/config"),
    *("secrets/plain.txt", ".ssh/config", ".git-credentials", "jobs/.env", "a b/.env", "ü/.env", "odd*[name]/.env"),
)


HOWS = ("staged", "unstaged", "added", "removed", "renamed away", "renamed to")


@pytest.mark.parametrize(
    ("name", "how"), [*((name, "unstaged") for name in SECRET_NAMES), *(("jobs/.env", how) for how in HOWS)]
)
def test_tr1_what_looks_like_a_secret_is_left_out_of_the_difference_by_name(checkout, name, how):
    file, plain = checkout / name, checkout / "plain.txt"
    content = "".join(f"{number} {SECRET}\n" for number in range(20))
    file.parent.mkdir(parents=True, exist_ok=True)
    before = plain if how == "renamed to" else file
    if how != "added":
        before.write_text(content)
        git(checkout, "add", "-Af")
        git(checkout, "commit", "-qm", "second")
    if how == "removed":
        file.unlink()
    elif how.startswith("renamed"):
        before.rename(plain if before == file else file)
        git(checkout, "add", "-Af")
    else:
        file.write_text(content + SECRET)
        if how != "unstaged":
            git(checkout, "add", "-Af")
    (checkout / "model.py").write_text("WIDTH = 2\n")
    job = load_job(str(checkout / "jobs" / "line.py"))
    record, difference = recorded(job)
    assert SECRET not in difference
    assert f"{provenance.LEFT_OUT}{name}\n" in difference
    assert "+WIDTH = 2" in difference
    (warning,) = (each for each in record.warnings if each.startswith(f"TR1: {name} "))
    assert "leaves it out" in warning
    assert record.uncommitted
    git(checkout, "stash", "-q")
    git(checkout, "apply", "-", given=difference)  # what is left of it makes the rest of the code
    assert (checkout / "model.py").read_text() == "WIDTH = 2\n"


@pytest.mark.parametrize(
    "name", ["tokenizer.py", "tokens.parquet", "keys.py", "environment.yml", "monkey.txt", "model.py"]
)
def test_tr1_code_and_data_are_not_taken_for_secrets(checkout, name):
    (checkout / name).write_text("changed\n")
    git(checkout, "add", name)
    difference = code_state(checkout)[1]
    assert "+changed" in difference
    assert provenance.left_out(difference) == []


def test_no_program_of_the_repositorys_runs_for_its_difference(checkout, tmp_path):
    ran = tmp_path / "ran"
    git(checkout, "config", "diff.external", f"touch '{ran}'; true")
    git(checkout, "config", "diff.mine.textconv", f"touch '{ran}'; cat")
    (checkout / ".gitattributes").write_text("*.py diff=mine\n")
    (checkout / "model.py").write_text("WIDTH = 2\n")
    assert "+WIDTH = 2" in code_state(checkout)[1]
    assert not ran.exists()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--api-key", SECRET, "--seed", "1"], "python my.py --api-key '***' --seed 1"),
        ([f"--hub_token={SECRET}"], "python my.py '--hub_token=***'"),
        (["--password", SECRET], "python my.py --password '***'"),
        ([f"s3://id:{SECRET}@bucket/data"], "python my.py 's3://***@bucket/data'"),
        ([f"--data=s3://b/a?secret_key={SECRET}"], "python my.py '--data=s3://b/a?secret_key=***'"),
        (["--monkey", "see", "--keys", "7"], "python my.py --monkey see --keys 7"),
    ],
)
def test_tr1_the_command_of_a_script_shows_no_secret_that_it_was_given(monkeypatch, given, shown):
    monkeypatch.setattr(sys, "argv", ["my.py", *given])
    assert provenance.script() == shown


def recorded(job: Job, storage: str = "rounds") -> tuple[RoundRecord, str]:
    """A round's record, and its code's difference."""
    origin = provenance_of(job, storage)
    return round_record(job.round, origin), origin.difference


def test_tr1_the_record_says_whether_all_was_committed(checkout):
    job = load_job(str(checkout / "jobs" / "line.py"))
    record, difference = recorded(job)
    assert (record.commit, record.uncommitted, difference) == (head(checkout), False, "")
    (checkout / "model.py").write_text("WIDTH = 2\n")
    record, difference = recorded(job)
    assert record.uncommitted
    assert "+WIDTH = 2" in difference


@pytest.mark.parametrize("storage", ["rounds", "file:///tmp/a place/for 'rounds'", "s3://bucket/rounds?region=eu"])
def test_tr1_the_command_runs_the_same_job_into_the_same_storage(checkout, monkeypatch, storage):
    job = load_job(str(checkout / "jobs" / "line.py"))
    record, _ = recorded(job, storage)
    program, *arguments = shlex.split(record.command)
    given: dict[str, object] = {}

    def run(round_: object, **options: object) -> None:
        given.update(options, round=round_)
        raise RunError("not really")

    monkeypatch.setattr(running, "run", run)
    monkeypatch.setattr(commands, "_look_at", lambda *_: None)  # there is no such storage
    monkeypatch.chdir(checkout.parent)  # from wherever it is given
    assert (program, main(arguments)) == ("raytune-playbook", 1)
    assert isinstance(given["job"], Job)
    assert (given["job"].path, given["round"].fingerprint) == (job.path, job.round.fingerprint)
    assert given["storage"] == storage


def test_tr1_the_version_of_what_is_not_installed_is_unknown(checkout, monkeypatch):
    """As that of this package is where it is used from its source."""
    monkeypatch.setattr(provenance, "VERSIONS", ("a-package-that-nobody-installed", "numpy"))
    record, _ = recorded(load_job(str(checkout / "jobs" / "line.py")))
    python = ".".join(map(str, sys.version_info[:3]))
    assert record.versions == {"a-package-that-nobody-installed": "unknown", "numpy": np.__version__, "python": python}


def test_tr1_a_round_comes_from_somewhere_even_where_the_working_directory_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert (provenance_of(None, "rounds").commit, provenance_of(None, "rounds").difference) == (None, "")


def test_in10_overlapping_splits_are_a_warning_of_the_round_beside_its_own(make_round):
    round_ = make_round("overlaps")
    sizes = {"train": 4, "validation": 4}

    def recorded(overlaps: tuple[str, ...] | None) -> list[str]:
        examples = ExamplesRecord(
            mode="materialized", sources={}, num_examples=sizes, num_bytes=sizes, overlaps=overlaps
        )
        return round_record(round_, provenance_of(None, "rounds"), examples).warnings

    own = warnings(round_)
    sentences = ("train and validation share 2 examples", "validation and test share 1 example")
    assert recorded(sentences) == [*own, *(f"IN10: {sentence}" for sentence in sentences)]
    assert recorded(()) == recorded(None) == own
