"""The files of a round that its page links to: logs and profiler traces, and nothing else of the storage."""

from __future__ import annotations

from pathlib import PurePosixPath

from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import round_names

_FOLDERS = ("logs", "profiles")
_FILES = ("uncommitted.diff", "notes.md")


def read_linked(storage: Storage, name: str, path: str) -> bytes | None:
    """A file of a round, by its path in the round's folder; None where there is none, or none that may be read.

    A path is compared part by part with what a page may link to, and on a local storage a link must not lead out.
    """
    parts = path.split("/")
    if name not in round_names(storage) or not _is_linked(parts):
        return None
    folder = storage.local_path
    if folder is not None:
        file = (folder / name / path).resolve()
        if not file.is_file() or not file.is_relative_to((folder / name).resolve()):
            return None
    return storage.read(f"{name}/{path}")


def _is_linked(parts: list[str]) -> bool:
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        return False
    match parts:
        case [file]:
            return file in _FILES
        case [folder, _]:
            return folder in _FOLDERS
        case [_, folder, _]:
            return folder in _FOLDERS
        case _:
            return False


def media_type(path: str) -> str:
    """What a file is sent as: text, never as a page that a browser would run, or a file to be saved."""
    return "application/gzip" if PurePosixPath(path).suffix == ".gz" else "text/plain; charset=utf-8"
