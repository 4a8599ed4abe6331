"""What tests of submission share: an environment that names no cluster, and a job file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def no_cluster_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither an address nor a token of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job file with a helper module, a helper package and a neighbour that must not travel."""
    folder = tmp_path / "jobs"
    (folder / "helpers").mkdir(parents=True)
    (folder / "helpers" / "__init__.py").write_text("from beside import NAME\n")
    (folder / "beside.py").write_text("NAME = 'a helper'\n")
    (folder / "weights.bin").write_bytes(b"0" * 1000)
    path = folder / "tiny.py"
    path.write_text(
        "import pathlib, sys\n"
        "import helpers\n"
        "print('ran with', helpers.NAME, sys.argv[1:])\n"
        "print('files:', sorted(str(path) for path in pathlib.Path().rglob('*.py')))\n"
        "assert not pathlib.Path('weights.bin').exists()\n"
        "sys.exit(3 if 'fail' in sys.argv else 0)\n"
    )
    return path
