"""Listing files as fragments by what their headers say; the examples are not read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from raytune_playbook.data.files.find import DAMAGED, File, UnreadableError, unreadable
from raytune_playbook.data.files.fragments import Fragment
from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Files

NUM_THREADS = 16


@dataclass(frozen=True)
class Listing:
    """All fragments of a source in the order of their files' names.

    Fields:
        format: of all of them.
        skipped: what could not be read and was left out, as the user allowed.
    """

    format: str
    fragments: tuple[Fragment, ...]
    skipped: tuple[str, ...] = ()

    @property
    def is_remote(self) -> bool:
        """Whether some lie on another machine."""
        return any(file.filesystem for fragment in self.fragments for file in fragment.files)

    @property
    def num_examples(self) -> int | None:
        """None where only reading tells."""
        numbers = [fragment.num_examples for fragment in self.fragments]
        return None if None in numbers else sum(number or 0 for number in numbers)

    @property
    def identity(self) -> str:
        """Which files there are, in which version, and what is read of them.

        Storages hold preprocessed examples under a hash of this text, which therefore stays as it was when fragments
        were called units.
        """
        units = ", ".join(self._identity(fragment) for fragment in self.fragments)
        comma = "," if len(self.fragments) == 1 else ""
        return f"Listing(units=({units}{comma}), is_remote={self.is_remote}, skipped={self.skipped})"

    def _identity(self, fragment: Fragment) -> str:
        first, *others = fragment.files
        fields = {
            "format": self.format,
            "path": first.path,
            "filesystem": first.filesystem,
            "columns": fragment.columns,
            "row_group": fragment.number,
            "num_examples": fragment.num_examples,
            "num_bytes": fragment.num_bytes,
            "more_paths": tuple(file.path for file in others),
            "version": ", ".join(file.version for file in fragment.files),
        }
        return f"Unit({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


@dataclass(frozen=True)
class FileFormat:
    """How files of one format are told, and listed; how they are read is a matter of their fragments.

    Fields:
        endings: of the files' names, in lower case.
        list_files: the listing of files that were found, as `Files` says.
    """

    name: str
    endings: tuple[str, ...]
    list_files: Callable[[Sequence[File], Files], Listing]


@dataclass(frozen=True)
class Header:
    """What a file's header says.

    Fields:
        types: by column, of those that are wanted.
    """

    types: Mapping[str, str]
    fragments: tuple[Fragment, ...]


ReadHeader = Callable[[File, tuple[str, ...] | None], Header]
"""Looks at a file's header for the given columns, None for all."""


def with_headers(name: str, endings: tuple[str, ...], read_header: ReadHeader) -> FileFormat:
    """A format whose files say in a header which columns they hold."""
    return FileFormat(name, endings, functools.partial(_list_by_headers, name, read_header))


def _list_by_headers(name: str, read_header: ReadHeader, files: Sequence[File], wanted: Files) -> Listing:
    """Look into all headers at once.

    Raises:
        DataError: a file cannot be read, or its columns are not those of the first one.
    """
    read = functools.partial(_read_header, read_header, wanted_columns(wanted))
    fragments: list[Fragment] = []
    skipped = []
    first: tuple[File, Header] | None = None
    with ThreadPoolExecutor(NUM_THREADS) as threads:  # its map begins no more headers once one has raised
        for file, header in zip(files, threads.map(read, files), strict=True):
            if isinstance(header, UnreadableError):
                if wanted.on_unreadable != "skip":
                    raise header
                skipped.append(str(header))
                continue
            if header.fragments:  # else it has no examples, and whoever wrote it may not have known their types
                first = first or (file, header)
                _require_same_columns(*first, file, header)
            fragments += header.fragments
    if not fragments:
        raise DataError(
            f"Files: examples are needed, but {len(files)} file(s) hold none that can be read, {files[0].uri} first; "
            f"name others. {' '.join(skipped[:1])}".rstrip()
        )
    return Listing(name, tuple(fragments), tuple(skipped))


def _read_header(read_header: ReadHeader, columns: tuple[str, ...] | None, file: File) -> Header | UnreadableError:
    """A file's header, without the fragments that have no examples."""
    try:
        header = read_header(file, columns)
    except DAMAGED as error:
        return unreadable(file.uri, error)
    if not header.types:
        raise DataError(f"Files: examples are made of columns, but {file.uri} has none; take it out.")
    return Header(header.types, tuple(each for each in header.fragments if each.num_examples != 0))


def _require_same_columns(first: File, expected: Header, file: File, header: Header) -> None:
    names = expected.types.keys() | header.types.keys()
    different = sorted(name for name in names if header.types.get(name) != expected.types.get(name))
    if different:
        name = different[0]
        raise DataError(
            f"All files need the same columns, but {name!r} is {expected.types.get(name, 'missing')} in {first.uri} "
            f"and {header.types.get(name, 'missing')} in {file.uri}; make them alike, or name the common ones in "
            "Files(columns=...)."
        )


def wanted_columns(wanted: Files) -> tuple[str, ...] | None:
    """The columns that are read; None for all."""
    return None if wanted.columns is None else tuple(wanted.columns)


def require_columns(columns: Iterable[str] | None, there: Iterable[str], where: str) -> None:
    """Check that a file has the columns that are wanted.

    Raises:
        DataError: one is not there.
    """
    there = list(there)
    missing = [name for name in columns or () if name not in there]
    if missing:
        raise DataError(
            f"Files.columns: each must be in every file, but {where} has no {missing[0]!r}; it has "
            f"{', '.join(map(repr, there))}."
        )
