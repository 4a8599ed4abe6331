"""Which versions of Python, of our own code, and of packages a process has."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "raytune-playbook"
OWN_CODE = "raytune_playbook's code"
"""Two checkouts have one version, and may differ."""


def packages() -> list[str]:
    """Names of ray, torch, our own package, and those that it is installed with but for its extras."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        requirements = []
    names = [re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0] for each in requirements if "extra ==" not in each]
    return list(dict.fromkeys(["ray", "torch", DISTRIBUTION, *names]))


def versions(names: Iterable[str]) -> dict[str, str | None]:
    """Of Python, our own code, and packages, by name; None for one that is absent."""
    found: dict[str, str | None] = {"Python": platform.python_version(), OWN_CODE: _digest_of_own_code()}
    return found | {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _digest_of_own_code() -> str:
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
