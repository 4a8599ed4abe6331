"""Finding the files that a user names: paths, folders and patterns, on this machine or any filesystem of pyarrow's."""

from __future__ import annotations

import functools
import glob
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
from fsspec.utils import glob_translate

from raytune_playbook.errors import DataError
from raytune_playbook.records.places import credentials_refused

DAMAGED = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, EOFError, SyntaxError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError, pa.ArrowException),
)
"""What readers raise on files that are gone, cut short or overwritten; numpy and Pillow some of the stranger ones."""


@dataclass(frozen=True)
class File:
    """One file that was found.

    Fields:
        filesystem: a URI that leads to it; empty for this machine's.
        path: on its filesystem, absolute, since tasks run in other folders.
        version: changes when the file does.
    """

    filesystem: str
    path: str
    num_bytes: int
    version: str

    @property
    def uri(self) -> str:
        """How messages call it: with its scheme, and without the secrets that a filesystem's URI may hold."""
        return f"{self.filesystem.partition('://')[0]}://{self.path.lstrip('/')}" if self.filesystem else self.path

    def open(self) -> pa.NativeFile:
        """To read any part of it."""
        return _filesystem_of(self.filesystem).open_input_file(self.path)

    def open_decompressed(self) -> pa.NativeFile:
        """To read it from its beginning, decompressed where its ending says so."""
        return _filesystem_of(self.filesystem).open_input_stream(self.path, compression="detect")


class UnreadableError(DataError):
    """What may be left out where the user allows it."""


def find(uris: str | Sequence[str], endings: tuple[str, ...], *, any_ending: bool) -> list[File]:
    """All files that are named, in the order in which they are, and those of a folder in the order of their names.

    Args:
        uris: paths or URIs of files and folders, or patterns.
        endings: which files of a folder are wanted.
        any_ending: whether the files that a pattern names are wanted whatever their ending.

    Raises:
        DataError: there are none, one comes twice, or they cannot be looked for.
    """
    uris = (uris,) if isinstance(uris, str) else uris
    if (refusal := next(filter(None, map(credentials_refused, uris)), None)) is not None:
        raise DataError(f"Files: {refusal}")
    found = [file for uri in uris for file in _files_of(uri, endings, any_ending=any_ending)]
    if not found:
        raise DataError(f"Files: examples are needed, but {', '.join(map(repr, uris))} matches no file; correct it.")
    if len(set(found)) < len(found):
        twice = next(file for number, file in enumerate(found) if file in found[:number])
        raise DataError(f"Files: each file may come once, but {', '.join(map(repr, uris))} names {twice.uri} twice.")
    return found


def _files_of(uri: str, endings: tuple[str, ...], *, any_ending: bool) -> Iterator[File]:
    base, pattern = _base_and_pattern(uri)
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
    matched = None if pattern is None else _translated(pattern)
    for each in sorted(infos, key=lambda info: str(info.path)):
        names = tuple(name for name in each.path[len(root) :].split("/") if name)
        is_wanted = not is_folder or _is_wanted(names, matched, endings, any_ending=any_ending)
        if each.type == pafs.FileType.File and is_wanted:
            yield File(filesystem, each.path, each.size or 0, f"{each.size} {each.mtime_ns}")


def _links_to_nowhere(folder: str) -> list[pafs.FileInfo]:
    """What pyarrow passes over in silence, such as files that a version control for data has not fetched."""
    paths = (Path(each, name) for each, _, names in os.walk(folder) for name in names)
    return [pafs.FileInfo(str(path), pafs.FileType.File) for path in paths if path.is_symlink() and not path.exists()]


def _is_wanted(
    names: tuple[str, ...], pattern: re.Pattern[str] | None, endings: tuple[str, ...], *, any_ending: bool
) -> bool:
    """Whether a file is, of whose path below a folder these are the names; a pattern may match it or a folder of it."""
    if any(name.startswith((".", "_")) for name in names):
        return False  # hidden, as what is being written often is
    if pattern is None:
        return names[-1].lower().endswith(endings)
    matched = [pattern.match("/".join(names[:number])) is not None for number in range(1, len(names) + 1)]
    # One that the user named needs no ending.
    return (any_ending and matched[-1]) or (any(matched) and names[-1].lower().endswith(endings))


def _translated(pattern: str) -> re.Pattern[str]:
    """A pattern as fsspec takes it, but that names without ``*`` mean themselves, and ``**`` within a name is ``*``."""
    names = [re.sub(r"\*+", "*", name) if name != "**" else name for name in pattern.split("/")]
    whole = "/".join(name if "*" in name else glob.escape(name) for name in names)
    without_end = re.sub(r"(/\*\*)+$", "", whole)  # where it stands for no folder
    return re.compile(f"{glob_translate(whole)}|{glob_translate(without_end)}")


def _base_and_pattern(uri: str) -> tuple[str, str | None]:
    """The folder before the first name with a wildcard, a remote URI's options included, and what comes from there."""
    whole, mark, options = uri.partition("?") if "://" in uri else (uri, "", "")
    before, star, after = whole.partition("*")
    if not star:
        return uri, None
    folder, slash, start = before.rpartition("/")
    return (folder or slash or ".") + mark + options, f"{start}*{after}"


def _connect(uri: str) -> tuple[pafs.FileSystem, str]:
    """A filesystem, and the absolute path on it."""
    if "://" in uri:
        fs, path = pafs.FileSystem.from_uri(uri)
        return fs, path
    return pafs.LocalFileSystem(), str(Path(uri).expanduser().absolute())


@functools.lru_cache(maxsize=64)
def _filesystem_of(uri: str) -> pafs.FileSystem:
    """The filesystem that a URI leads to; this machine's where it is empty."""
    return _connect(uri)[0] if uri else pafs.LocalFileSystem()


def unreadable(what: str, error: Exception) -> UnreadableError:
    """The sentence about a file that is gone or damaged."""
    why = " ".join(str(error).split())[:200]
    return UnreadableError(
        f"Examples must be readable, but {what} is not ({type(error).__name__}: {why}); restore it, take it out, or "
        "allow it to be left out and counted with Files(on_unreadable='skip')."
    )
