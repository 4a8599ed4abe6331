"""Finding the files that a user names: paths, folders and patterns, on this machine or any filesystem of pyarrow's."""

from __future__ import annotations

import fnmatch
import functools
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Files, Format

ENDINGS: dict[Format, tuple[str, ...]] = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".csv.gz", ".csv.zst"),
    "numpy": (".npz", ".npy"),
    "images": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
}

DAMAGED = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, EOFError, SyntaxError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError, pa.ArrowException),
)
"""What readers raise on files that are gone, cut short or overwritten; numpy and Pillow some of the stranger ones."""


@dataclass(frozen=True)
class Found:
    """One file; the fields are those of a `Unit`."""

    filesystem: str
    path: str
    num_bytes: int
    version: str

    @property
    def uri(self) -> str:
        """How messages call it."""
        return shown(self.filesystem, self.path)


class UnreadableError(DataError):
    """What may be left out where the user allows it."""


def find(files: Files) -> list[Found]:
    """All files that are named, in the order in which they are, and those of a folder in the order of their names.

    Raises:
        DataError: there are none, one comes twice, or they cannot be looked for.
    """
    uris = (files.uris,) if isinstance(files.uris, str) else files.uris
    found = [file for uri in uris for file in _files_of(uri, files.format)]
    if not found:
        raise DataError(f"Files: examples are needed, but {', '.join(map(repr, uris))} matches no file; correct it.")
    if len(set(found)) < len(found):
        twice = next(file for number, file in enumerate(found) if file in found[:number])
        raise DataError(f"Files: each file may come once, but {', '.join(map(repr, uris))} names {twice.uri} twice.")
    return found


def _files_of(uri: str, kind: Format | None) -> Iterator[Found]:
    base, pattern = _split_pattern(uri)
    try:
        fs, root = _connect(base)
        info = fs.get_file_info(root)
        is_folder = info.type == pafs.FileType.Directory
        infos = fs.get_file_info(pafs.FileSelector(root, recursive=True)) if is_folder else [info]
        if is_folder and isinstance(fs, pafs.LocalFileSystem):
            infos += _links_to_nowhere(root)
    except DAMAGED as error:
        raise unreadable(uri, error) from None
    if info.type == pafs.FileType.NotFound:
        raise DataError(f"Files: examples are needed, but there is no {uri}; correct the path.")
    filesystem = "" if isinstance(fs, pafs.LocalFileSystem) else base
    endings = ENDINGS[kind] if kind else tuple(ending for each in ENDINGS.values() for ending in each)
    for each in sorted(infos, key=lambda info: str(info.path)):
        parts = tuple(part for part in each.path[len(root) :].split("/") if part)
        is_wanted = not is_folder or _is_wanted(parts, pattern, endings, any_ending=kind is not None)
        if each.type == pafs.FileType.File and is_wanted:
            yield Found(filesystem, each.path, each.size or 0, f"{each.size} {each.mtime_ns}")


def _links_to_nowhere(folder: str) -> list[pafs.FileInfo]:
    """What pyarrow passes over in silence, such as files that a version control for data has not fetched."""
    paths = (Path(each, name) for each, _, names in os.walk(folder) for name in names)
    return [pafs.FileInfo(str(path), pafs.FileType.File) for path in paths if path.is_symlink() and not path.exists()]


def _is_wanted(parts: tuple[str, ...], pattern: tuple[str, ...], endings: tuple[str, ...], *, any_ending: bool) -> bool:
    if any(part.startswith((".", "_")) for part in parts):
        return False  # hidden, as what is being written often is
    if pattern and any_ending and _matches(parts, pattern):
        return True  # named by the user
    below = not pattern or any(_matches(parts[:number], pattern) for number in range(1, len(parts) + 1))
    return below and parts[-1].lower().endswith(endings)


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether a path is what a pattern says; of each, the parts between slashes."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[number:], pattern[1:]) for number in range(len(parts) + 1))
    if not parts:
        return False
    is_same = fnmatch.fnmatchcase(parts[0], pattern[0]) if "*" in pattern[0] else parts[0] == pattern[0]
    return is_same and _matches(parts[1:], pattern[1:])


def _split_pattern(uri: str) -> tuple[str, tuple[str, ...]]:
    """What comes before the first part with a wildcard, a remote URI's options included, and the parts from there."""
    whole, mark, options = uri.partition("?") if "://" in uri else (uri, "", "")
    before, star, after = whole.partition("*")
    if not star:
        return uri, ()
    folder, slash, start = before.rpartition("/")
    return (folder or slash or ".") + mark + options, tuple(f"{start}*{after}".split("/"))


def _connect(uri: str) -> tuple[pafs.FileSystem, str]:
    """A filesystem, and the absolute path on it."""
    if "://" in uri:
        fs, path = pafs.FileSystem.from_uri(uri)
        return fs, path
    return pafs.LocalFileSystem(), str(Path(uri).expanduser().absolute())


@functools.lru_cache(maxsize=64)
def filesystem_of(uri: str) -> pafs.FileSystem:
    """The filesystem that a URI leads to; this machine's where it is empty."""
    return _connect(uri)[0] if uri else pafs.LocalFileSystem()


def shown(filesystem: str, path: str) -> str:
    """A path with its scheme, and without the secrets that a URI may hold."""
    return f"{filesystem.partition('://')[0]}://{path.lstrip('/')}" if filesystem else path


def unreadable(what: str, error: Exception) -> UnreadableError:
    """The sentence about a file that is gone or damaged."""
    why = " ".join(str(error).split())[:200]
    return UnreadableError(
        f"Examples must be readable, but {what} is not ({type(error).__name__}: {why}); restore it, take it out, or "
        "allow it to be left out and counted with Files(on_unreadable='skip')."
    )
