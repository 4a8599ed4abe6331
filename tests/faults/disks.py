"""What happens to the small file systems of tests, which the fixture ``disk`` mounts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def fill(disk: Path) -> Path:
    """Leave no byte of it."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (2**16, 1):
            with pytest.raises(OSError, match="No space left on device"):
                while True:
                    file.write(bytes(size))
    return ballast


def hidden(disk: Path) -> list[Path]:
    return list(disk.rglob(".*"))


def remount(disk: Path, how: str) -> bool:
    return not subprocess.run(
        ["mount", "-o", f"remount,{how}", str(disk)], check=False, stderr=subprocess.DEVNULL
    ).returncode
