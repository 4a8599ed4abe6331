"""The token of clusters that runs start on this machine: a file that its user alone can read.

A new local Ray cluster lets in whoever has the token in ``~/.ray/auth_token``, and whoever is let in runs code as this
user. Where there is none Ray would write one as the umask says, which usually lets everybody on the machine read it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from raytune_playbook.errors import InputError

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700

_OTHERS = 0o077

_GIVEN_BY = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Variables by which a user gives the token otherwise."""


def keep_own_token() -> str | None:
    """Write the token that a new local cluster is going to ask for, where there is none.

    Returns:
        A sentence where it was written, or where other users can read the one that is there; else None.

    Raises:
        InputError: it cannot be written.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" or any(map(os.environ.get, _GIVEN_BY)):
        return None
    path = Path.home() / ".ray" / "auth_token"
    if path.is_file():
        return _if_others_read(path)
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    except OSError as error:
        raise InputError(
            f"A Ray cluster on this machine needs a token in {path}, but it cannot be written "
            f"({os.strerror(error.errno or 0)}); allow access, or set RAY_AUTH_TOKEN to a secret text."
        ) from None
    with os.fdopen(file, "w") as opened:
        opened.write(secrets.token_hex(32))
    return f"A token was written to {path}, for you alone to read: whoever has it runs code on the clusters you start."


def _if_others_read(path: Path) -> str | None:
    if not path.stat().st_mode & _OTHERS:
        return None
    return f"Warning: other users can read {path}, and with it run code as you on the clusters you start; chmod 600 it."
