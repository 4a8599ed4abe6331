"""What a round's records are like just now: another text whenever something in them has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import pyarrow.fs as pafs

from raytune_playbook.records.procedures import FOLDER as PROCEDURES
from raytune_playbook.records.storage import Storage

_OF_ROUND = ("round.json", "status.json", "notes.md")
_FOLDERS = ("trials", "measurements", "logs", "profiles")
"""Of a study: what a page is made from, and what it links to. Checkpoints and predictions are neither, and are many."""


def round_version(storage: Storage, name: str, studies: Iterable[str]) -> str:
    """Of all records that the page of a round is made from.

    Args:
        storage: that holds the round.
        name: of the round.
        studies: of the round, by name.
    """
    infos = storage.fs.get_file_info([f"{storage.root}/{name}/{file}" for file in _OF_ROUND])
    folders = [f"{study}/{folder}" for study in studies for folder in _FOLDERS]
    procedures = [f"{PROCEDURES}/{each}" for each in storage.folders(f"{name}/{PROCEDURES}")]
    for folder in ["scores", *procedures, *folders]:
        selector = pafs.FileSelector(f"{storage.root}/{name}/{folder}", allow_not_found=True)
        infos += sorted(storage.fs.get_file_info(selector), key=lambda info: info.path)
    return _digest(infos)


def list_version(storage: Storage, names: Sequence[str]) -> str:
    """Of how all rounds stand."""
    return _digest(storage.fs.get_file_info([f"{storage.root}/{name}/{file}" for name in names for file in _OF_ROUND]))


def _digest(infos: Iterable[pafs.FileInfo]) -> str:
    text = "\n".join(f"{info.path} {info.size} {info.mtime_ns}" for info in infos)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
