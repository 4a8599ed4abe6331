"""Files that look as if they held secrets, by their names: what they hold goes into no record."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import PurePosixPath

PATTERNS: dict[str, str] = {
    ".env*": "environment variables of a program, where its passwords and keys usually are",
    "*.env": "likewise",
    ".envrc": "likewise, of a folder",
    "*.pem": "certificates with their private keys",
    "*.key": "private keys",
    "*.p12": "private keys in a container",
    "*.pfx": "likewise",
    "*.jks": "likewise, of Java",
    "*.keystore": "likewise",
    "*.kdbx": "a password manager's",
    "*.gpg": "encrypted, and whoever wants to guess the password needs no more",
    "id_rsa*": "SSH's private keys",
    "id_dsa*": "likewise",
    "id_ecdsa*": "likewise",
    "id_ed25519*": "likewise",
    "*credential*": "what clouds and git call a user's keys",
    "*secret*": "whatever it is, its owner calls it so",
    "*password*": "likewise",
    "*passwd*": "likewise",
    "*token": "what lets a program in; code that makes tokens of text has other endings",
    "*token.txt": "likewise",
    "*token.json": "likewise",
    "*token.y*ml": "likewise",
    "*service_account*": "keys of Google's clouds",
    "*service-account*": "likewise",
    ".netrc": "passwords by host",
    "_netrc": "likewise, of Windows",
    ".pypirc": "passwords of package indexes",
    ".npmrc": "tokens of package indexes",
    ".pgpass": "passwords of databases",
    ".htpasswd": "passwords of a web server",
    ".dockercfg": "passwords of image registries",
    ".docker/config.json": "likewise",
    ".git-credentials": "passwords of repositories",
    "kubeconfig*": "keys to clusters",
    ".kube/config": "likewise",
    ".aws/*": "keys to a cloud",
    ".ssh/*": "keys to hosts",
    "secrets.*": "keys of a program, such as Streamlit's",
    "*.tfstate*": "what Terraform has made, passwords included",
    "*.tfvars": "what it is given",
}
"""By pattern of a file's name, or of its folder's and its own, why it is left out; case does not matter."""


def secret_files(paths: Sequence[str]) -> list[str]:
    """Those of some files that are named, or are in a folder that is, as what holds secrets is; in their order.

    Args:
        paths: in a repository, with slashes.
    """
    return [path for path in paths if _looks_secret(path)]


def _looks_secret(path: str) -> bool:
    parts = PurePosixPath(path.lower()).parts
    names = [*parts, *("/".join(pair) for pair in pairwise(parts))]
    return any(fnmatchcase(name, pattern) for name in names for pattern in PATTERNS)
