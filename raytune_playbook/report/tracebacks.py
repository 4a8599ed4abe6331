"""A traceback as the terminal shows it: from the user's first frame on, and once for all workers.

The records keep every worker's traceback as a whole, in the form that `raytune_playbook.engine.gang.attempt` gives it:
each after a line ``rank 3:``.
"""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_BUNDLED = "workloads"
"""The folder of the package whose frames are a user's, as those of a workload of one's own are."""

_LIBRARY = re.compile(
    r"/(?:site|dist)-packages/(?:ray|torch)/|/python3\.\d+/(?!site-packages/|dist-packages/)|^<frozen "
)
_RANK = re.compile(r"^rank (\d+):\n", re.MULTILINE)
_FRAME = re.compile(r'^  File "([^"]+)", line \d+, in (.+)$')
_HEAD = "Traceback (most recent call last):"
_CALLS = ("_wrapped_call_impl", "_call_impl")
"""Through these torch calls every module; they say nothing of which one."""


def from_users_code(recorded: str) -> str:
    """What a recorded traceback says to a user.

    That of the worker whose error arose in the user's code, from its first frame there on; one for all workers where
    theirs are alike, and else a line for each of the others. What has no such frame stays whole.
    """
    parts = _by_rank(recorded)
    if not parts:
        return _shortened(recorded).rstrip()
    shown = {rank: _shortened(text).rstrip() for rank, text in parts.items()}
    first = next((rank for rank, text in parts.items() if _is_of_user(text)), next(iter(parts)))
    others = {rank: text for rank, text in shown.items() if text != shown[first]}
    if not others:
        return shown[first]
    lines = [f"On rank {rank} instead: {_last_line(text)}" for rank, text in others.items()]
    same = ", ".join(str(rank) for rank in shown if rank not in others)
    return "\n".join([f"On rank {same}:", shown[first], *lines])


def _by_rank(recorded: str) -> dict[int, str]:
    """Each worker's traceback; empty where the text has none that says whose it is."""
    pieces = _RANK.split(recorded)
    return {int(rank): text for rank, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def _is_of_user(text: str) -> bool:
    frames = [found for line in text.splitlines() if (found := _FRAME.match(line))]
    return any(not is_library(found[1]) for found in frames)


def _shortened(text: str) -> str:
    """Without the frames that come before the user's first one, in each traceback of a chain."""
    shown: list[str] = []
    block: list[list[str]] | None = None  # of one traceback: each frame with the lines that belong to it
    for line in text.splitlines():
        if line == _HEAD:
            shown.append(line)
            block = []
        elif block is not None and line.startswith("  ") and (block or _FRAME.match(line)):
            if _FRAME.match(line):
                block.append([])
            block[-1].append(line)
        else:
            shown += _users_frames(block or [])
            block = None
            shown.append(line)
    return "\n".join(shown + _users_frames(block or []))


def _users_frames(block: list[list[str]]) -> list[str]:
    frames = [(found[1], found[2], lines) for lines in block if (found := _FRAME.match(lines[0]))]
    start = next((i for i, (path, *_) in enumerate(frames) if not is_library(path)), None)
    if start is None:
        return [line for lines in block for line in lines]
    kept = [lines for path, name, lines in frames[start:] if not (name in _CALLS and is_library(path))]
    return [line for lines in kept for line in lines]


def is_library(path: str) -> bool:
    """Whether a file of a traceback is one of this package, Ray, torch or Python itself, on whichever machine."""
    path = path.replace("\\", "/")
    if _LIBRARY.search(path):
        return True
    _, found, rest = path.rpartition(f"/{_PACKAGE.name}/")
    return bool(found) and not rest.startswith(f"{_BUNDLED}/") and (_PACKAGE / rest).exists()


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line and not line[0].isspace()), text)
