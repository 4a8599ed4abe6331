"""Where a round comes from: its code, the versions that ran it, and the command that reproduces it (rule TR1)."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.jobs.secret_files import secret_files
from raytune_playbook.records.places import without_credentials
from raytune_playbook.records.types import ExamplesRecord, Part, Role, RoundRecord
from raytune_playbook.study.checks.rules_of_thumb import warnings
from raytune_playbook.study.round import Round

VERSIONS = ("raytune-playbook", "ray", "torch", "numpy", "pyarrow")
MAX_DIFF_CHARACTERS = 2_000_000


LEFT_OUT = "# left out, for it looks like a secret: "
"""Of a file in a difference, by its name."""

_SECRET_OPTION = re.compile(r"-{1,2}(.*[-_])?(key|token|secret|password|passwd|credentials?)", re.IGNORECASE)

_DIFF = ("diff", "--find-renames", "--no-ext-diff", "--no-textconv", "--no-relative")

UNKNOWN = "unknown"
"""The version of a package that is used from its source, without being installed."""


@dataclass(frozen=True)
class Provenance:
    """Where a round's results come from; gathered before anything starts, which cannot fail.

    Fields:
        job: the job file; None for a round of the Python API.
        command: reproduces the round.
        commit: of the code; None outside a checkout.
        difference: of the code from its commit; empty where all is committed.
        versions: of what decides bits.
        part: the procedure that runs it; None for a round of its own.
    """

    job: Path | None
    command: str
    commit: str | None
    difference: str
    versions: dict[str, str]
    part: Part | None = None


def provenance_of(job: Job | None, storage: str, part: Part | None = None) -> Provenance:
    """Where a round comes from that is about to start.

    Args:
        job: the job file; None for a round of the Python API.
        storage: where the round will be.
        part: the procedure that runs it; the job file is then the procedure's, and none defines the round.
    """
    commit, difference = code_state(job.path.parent if job else None)
    own_job = job if part is None else None
    return Provenance(
        own_job.path if own_job else None,
        command("run", str(own_job.path), "--storage", storage) if own_job else part.command if part else script(),
        commit,
        difference,
        {name: _version(name) for name in VERSIONS} | {"python": sys.version.split()[0]},
        part,
    )


def round_record(round_: Round, provenance: Provenance, examples: ExamplesRecord | None = None) -> RoundRecord:
    """The record of a round that is about to start."""
    roles: dict[str, Role] = dict.fromkeys(round_.fixed_values, "fixed")
    roles |= dict.fromkeys(round_.scientific, "scientific")
    roles |= dict.fromkeys(round_.tuned, "nuisance")
    return RoundRecord(
        name=round_.name,
        goal=round_.goal,
        roles=roles,
        reasons=round_.reasons,
        caveats=round_.caveats,
        warnings=[
            *(warnings(round_) if provenance.part is None else ()),  # a procedure knows what it asks of its parts
            *(f"IN10: {sentence}" for sentence in (examples.overlaps or () if examples else ())),
            *(
                f"TR1: {name} has uncommitted changes and looks like a secret, so that uncommitted.diff leaves it out"
                for name in left_out(provenance.difference)
            ),
        ],
        objective=round_.objective,
        budget=round_.budget,
        resources=round_.resources,
        seed=round_.seed,
        fingerprint=round_.fingerprint,
        workload=round_.studies[0].workload,
        studies=[study.name for study in round_.studies],
        job=None if provenance.job is None else str(provenance.job),
        command=provenance.command,
        commit=provenance.commit,
        uncommitted=bool(provenance.difference),
        versions=provenance.versions,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        examples=examples,
        part_of=provenance.part,
    )


def command(*arguments: str) -> str:
    """A shell command that runs this program."""
    return shlex.join(["raytune-playbook", *arguments])


def code_state(folder: Path | None) -> tuple[str | None, str]:
    """The git commit of the code in a folder, and its uncommitted difference; (None, "") outside a checkout.

    What files hold that look secret is left out of the difference, which begins with their names.

    Args:
        folder: None for the working directory.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, ""
    secret = _changed_secrets(folder)
    but = [f":(top,exclude,literal){name}" for name in secret]
    changed = _git(folder, *_DIFF, "HEAD", "--", ":(top)", *but) or ""
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard") or ""
    difference = (
        "".join(f"{LEFT_OUT}{name}\n" for name in secret)
        + changed
        + "".join(f"# not tracked: {name}\n" for name in untracked.splitlines())
    )
    return commit.strip(), difference[:MAX_DIFF_CHARACTERS]


def left_out(difference: str) -> list[str]:
    """Names of the files that a difference leaves out, since they look secret."""
    heads = itertools.takewhile(lambda line: line.startswith(LEFT_OUT), difference.splitlines())
    return [line.removeprefix(LEFT_OUT) for line in heads]


def _changed_secrets(folder: Path | None) -> list[str]:
    """Files that have changed and look secret, and the names that they had or have otherwise where they were renamed.

    A file that is renamed keeps its secret, whatever it is called then.
    """
    fields = (_git(folder, *_DIFF, "--name-status", "-z", "HEAD", "--", ":(top)") or "").split("\0")
    secret: dict[str, None] = {}
    while len(fields) > 1:
        status, *fields = fields
        names, fields = (fields[:2], fields[2:]) if status[:1] in ("R", "C") else (fields[:1], fields[1:])
        if secret_files(names):
            secret |= dict.fromkeys(names)
    return list(secret)


def script() -> str:
    """The command that runs this process, where it runs a Python file, without the secrets that it was given."""
    if Path(sys.argv[0]).suffix != ".py":
        return "an interactive session"
    shown, is_secret = ["python"], False
    for argument in sys.argv:
        option, mark, value = argument.partition("=") if argument.startswith("-") else (argument, "", "")
        names_secret = _SECRET_OPTION.fullmatch(option) is not None
        value = "***" if names_secret else without_credentials(value)
        shown.append("***" if is_secret else f"{option}={value}" if mark else without_credentials(argument))
        is_secret = names_secret and not mark
    return shlex.join(shown)


def _version(name: str) -> str:
    try:
        return version(name) or UNKNOWN  # None of an installation whose metadata are damaged
    except PackageNotFoundError:
        return UNKNOWN


def _git(folder: Path | None, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder or "."), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
