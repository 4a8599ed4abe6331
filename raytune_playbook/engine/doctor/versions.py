"""Which versions of Python and of our packages a process has."""

from __future__ import annotations

import hashlib
import platform
import re
from importlib import metadata
from pathlib import Path

import raytune_playbook

DISTRIBUTION = "raytune-playbook"
OWN_CODE = "raytune_playbook's code"
"""Two checkouts have one version, and may differ."""


def versions() -> dict[str, str | None]:
    """Of Python, our own code, and each package that ours is installed with, by name; None for one that is absent."""
    found: dict[str, str | None] = {"Python": platform.python_version(), OWN_CODE: _digest_of_own_code()}
    return found | {name: _version(name) for name in (DISTRIBUTION, *_required())}


def _required() -> list[str]:
    """Names of the packages that ours depends on, without those of its extras."""
    requirements = metadata.requires(DISTRIBUTION) or []
    return [re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0] for each in requirements if "extra ==" not in each]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _digest_of_own_code() -> str:
    root = Path(raytune_playbook.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
