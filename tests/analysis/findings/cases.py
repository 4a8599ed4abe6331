"""The cases of all rooms: each folder beside this file holds its own in ``cases.py``, as ``CASES``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.analysis.findings.rates import Case


def all_cases() -> tuple[Case, ...]:
    """In the order of the rooms' names."""
    rooms = sorted(file.parent.name for file in Path(__file__).parent.glob("*/cases.py"))
    return tuple(case for room in rooms for case in _of(room))


def _of(room: str) -> tuple[Case, ...]:
    cases: tuple[Case, ...] = import_module(f"tests.analysis.findings.{room}.cases").CASES
    return cases
