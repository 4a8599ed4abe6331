"""The token of a cluster of our own: for its user alone, and said once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from raytune_playbook.engine.cluster.own_token import keep_own_token
from raytune_playbook.errors import InputError

CONNECT = """
import os, sys
os.umask(0o022)  # as most systems have it
import ray
from ray._private.authentication import authentication_token_setup as setup
from raytune_playbook.engine.session import connect

def init(**arguments):  # what Ray does about its token before it starts anything
    setup.enable_token_auth_by_default()
    setup.ensure_token_if_auth_enabled(None, create_token_if_missing=True)

ray.init = init
for _ in range(2):
    print(connect(None), setup.AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))
"""


def connected(home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", CONNECT],
        env=environment | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_written_for_its_user_alone_said_once_and_is_what_ray_takes(tmp_path):
    """Without us Ray writes the file by itself, and everybody may read it."""
    done = connected(tmp_path)
    path = tmp_path / ".ray" / "auth_token"
    assert (done.returncode, done.stdout) == (0, "True True\n" * 2)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert len(path.read_text()) == 64
    assert done.stderr.count(str(path)) == 1
    assert f"A token was written to {path}, for you alone" in done.stderr
    assert path.read_text() not in done.stderr


def test_a_token_that_others_can_read_is_named_and_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("my own")
    path.chmod(0o644)
    sentence = keep_own_token()
    assert sentence is not None and sentence.startswith(f"Warning: other users can read {path}")
    assert (mode(path), path.read_text()) == (0o644, "my own")
    path.chmod(0o600)
    assert keep_own_token() is None


@pytest.mark.parametrize("variable", [("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "given")])
def test_where_no_token_file_is_needed_none_is_written(tmp_path, monkeypatch, variable):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(*variable)
    assert keep_own_token() is None
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".ray").touch()
    with pytest.raises(InputError, match=r"A Ray cluster on this machine needs a token .* set RAY_AUTH_TOKEN"):
        keep_own_token()
