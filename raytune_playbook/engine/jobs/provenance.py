"""Where a round comes from: its code, the versions that ran it, and the command that reproduces it (rule TR1)."""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.records.types import ExamplesRecord, Role, RoundRecord
from raytune_playbook.study.round import Round
from raytune_playbook.study.rules_of_thumb import warnings

VERSIONS = ("raytune-playbook", "ray", "torch", "numpy", "pyarrow")
MAX_DIFF_CHARACTERS = 2_000_000


def round_record(
    round_: Round, job: Job | None, storage: str, examples: ExamplesRecord | None = None
) -> tuple[RoundRecord, str]:
    """The record of a round that is about to start, and its code's uncommitted difference."""
    commit, difference = code_state(job.path.parent if job else Path.cwd())
    roles: dict[str, Role] = dict.fromkeys(round_.fixed_values, "fixed")
    roles |= dict.fromkeys(round_.scientific, "scientific")
    roles |= dict.fromkeys(round_.tuned, "nuisance")
    record = RoundRecord(
        name=round_.name,
        goal=round_.goal,
        roles=roles,
        reasons=round_.reasons,
        caveats=round_.caveats,
        warnings=[
            *warnings(round_),
            *(f"IN10: {sentence}" for sentence in (examples.overlaps or () if examples else ())),
        ],
        objective=round_.objective,
        budget=round_.budget,
        resources=round_.resources,
        seed=round_.seed,
        fingerprint=round_.fingerprint,
        workload=round_.studies[0].workload,
        studies=[study.name for study in round_.studies],
        job=str(job.path) if job else None,
        command=command("run", str(job.path), "--storage", storage) if job else _script(),
        commit=commit,
        uncommitted=bool(difference),
        versions={name: version(name) for name in VERSIONS} | {"python": sys.version.split()[0]},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        examples=examples,
    )
    return record, difference


def command(*arguments: str) -> str:
    """A shell command that runs this program."""
    return shlex.join(["raytune-playbook", *arguments])


def code_state(folder: Path) -> tuple[str | None, str]:
    """The git commit of the code in a folder, and its uncommitted difference; (None, "") outside a checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, ""
    changed = _git(folder, "diff", "HEAD") or ""
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard") or ""
    difference = changed + "".join(f"# not tracked: {name}\n" for name in untracked.splitlines())
    return commit.strip(), difference[:MAX_DIFF_CHARACTERS]


def _script() -> str:
    script = Path(sys.argv[0])
    return shlex.join(["python", *sys.argv]) if script.suffix == ".py" else "an interactive session"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
