"""A job's code in a ConfigMap, whose files a pod mounts one by one, as real files under the paths they have here."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from raytune_playbook.errors import SubmissionError
from raytune_playbook.submission.kubernetes.documents import Document
from raytune_playbook.submission.staging import stage_job

FOLDER = "/home/ray/job"
"""Where the code is in the head's pod."""

MAX_CODE_BYTES = 2**20
"""What Kubernetes lets a ConfigMap hold."""

MAX_APPLIED_BYTES = 2**18
"""What annotations may hold; a plain `kubectl apply` notes the whole object in one."""


@dataclass(frozen=True)
class Code:
    """A job's code.

    Fields:
        config_map: holds it, under names that Kubernetes takes.
        paths: of the files under `FOLDER`, by these names.
        job: the job file's path under `FOLDER`.
    """

    config_map: Document
    paths: dict[str, str]
    job: str

    @property
    def needs_server_side(self) -> bool:
        """Whether a plain `kubectl apply` refuses it."""
        return len(json.dumps(self.config_map)) > MAX_APPLIED_BYTES


def code_of(job: Path, name: str) -> Code:
    """A job file with the modules and packages that travel with it (see `staging`).

    Args:
        name: of the ConfigMap.

    Raises:
        JobFileError: there is no such Python file.
        SubmissionError: it is more than a ConfigMap holds, or a file has a name that it does not take.
    """
    files, job_name = _files(job)
    num_bytes = sum(map(len, files.values()))
    if num_bytes > MAX_CODE_BYTES:
        raise _too_large(job, f"{num_bytes:,} bytes")
    if (refused := next((path for path in files if path.startswith("..")), None)) is not None:
        raise SubmissionError(f"A file in a ConfigMap may not begin with '..', but got {refused!r}; rename it.")
    paths = _named(sorted(files))
    data: Document = {}
    binary: Document = {}
    for key, path in paths.items():
        try:
            data[key] = files[path].decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(files[path]).decode()
    config_map: Document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "raytune-playbook"}},
        "data": data,
        **({"binaryData": binary} if binary else {}),
    }
    return Code(config_map, paths, job_name)


def _files(job: Path) -> tuple[dict[str, bytes], str]:
    """Contents by path, and the job file's path."""
    with tempfile.TemporaryDirectory(prefix="raytune-playbook-") as staging:
        folder = Path(staging)
        try:
            name = stage_job(job, folder)
        except SubmissionError:
            raise _too_large(job, "more than a job may take along") from None
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}, name


def _too_large(job: Path, what: str) -> SubmissionError:
    return SubmissionError(
        f"A ConfigMap holds {MAX_CODE_BYTES:,} bytes, but the Python files that travel with {str(job)!r} are {what}; "
        "move the job to a folder of its own, name an image that has it (--in-image), or give it to a cluster that is "
        "up (raytune-playbook submit)."
    )


def _named(paths: list[str]) -> dict[str, str]:
    """Paths by names of letters, digits, '-', '_' and '.', each another one."""
    named: dict[str, str] = {}
    for path in paths:
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", path.replace("/", ".."))[-200:]
        plain = f"_{plain}" if plain.startswith("..") else plain  # Kubernetes takes no name that begins so
        key, number = plain, 1
        while key in named:
            number += 1
            key = f"{plain}.{number}"
        named[key] = path
    return named
