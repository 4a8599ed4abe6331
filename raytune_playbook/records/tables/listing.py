"""What lies in a study's folder of trials or of measurements, and how it is read while a driver writes there.

A *single* is a file of one trial. A *part* holds many trials that have ended, and takes the place of their singles, and
maybe of older parts: it is written whole before they are deleted. So whoever reads meanwhile sees a trial in both, and
never in neither. A single counts before a part, for it is of a later attempt or the same, and a newer part before an
older one. A *stream* holds the measurements of a trial that runs or was cut off, and counts before both, for it goes
once they are sealed: what was sealed beside it is of an earlier attempt.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.errors import StorageFailure
from raytune_playbook.records.storage import Storage, first_line

NUM_THREADS = 8
"""Files that are read at once: pyarrow does so without Python's lock, and a remote storage answers after a while."""

MOST_PASSES = 20
"""After so many a folder whose files still vanish is not only being compacted."""

_KEY = r"\d+(?:\.r\d+)?"
KEY = re.compile(_KEY)
"""A trial's key within its study."""
_SINGLE = re.compile(rf"({_KEY})\.parquet")
_PART = re.compile(rf"({_KEY})-({_KEY})\.part(\d{{6}})-[0-9a-f]{{8}}\.parquet")
_STREAM = re.compile(rf"_({_KEY})\.attempt(\d+)\.arrows")

_Content = TypeVar("_Content")


class BrokenFileError(Exception):
    """A file is not what it should be; its message says why."""


class Part(NamedTuple):
    """A file of many trials.

    Fields:
        number: the larger, the newer.
        first, last: keys of its trials at both ends.
    """

    number: int
    file: str
    first: str
    last: str
    num_bytes: int

    def spans(self, key: str) -> bool:
        """Whether a trial may be in it."""
        return key_order(self.first) <= key_order(key) <= key_order(self.last)


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Fields:
        parts: the oldest first.
        singles: by the trial's key, the file's number of bytes.
        streams: by the trial's key, the file of its newest attempt.
    """

    parts: tuple[Part, ...]
    singles: Mapping[str, int]
    streams: Mapping[str, str]

    @property
    def next_number(self) -> int:
        """Of a part that is newer than all."""
        return max((part.number for part in self.parts), default=0) + 1

    @property
    def that_count(self) -> tuple[str, ...]:
        """The files to read: what counts less stands before what counts more."""
        singles = [single_file(key) for key in self.singles if key not in self.streams]
        return (*(part.file for part in self.parts), *singles, *self.streams.values())


@dataclass(frozen=True)
class FolderContent(Generic[_Content]):
    """What a folder's files hold, by their names; what counts less comes first.

    Fields:
        broken: by a file's name, why it cannot be read.
    """

    listing: Listing
    files: Mapping[str, _Content]
    broken: Mapping[str, str]


def single_file(key: str) -> str:
    """The name of a trial's own file."""
    return f"{key}.parquet"


def new_part_file(number: int, keys: Sequence[str]) -> str:
    """A name that no other part has, and that has it sorted before the singles of its trials.

    The first file of a folder is where whoever reads it as one data set takes the columns from.
    """
    first, last = min(keys, key=key_order), max(keys, key=key_order)
    return f"{first}-{last}.part{number:06d}-{uuid.uuid4().hex[:8]}.parquet"


def is_part(file: str) -> bool:
    return _PART.fullmatch(file) is not None


def key_of(file: str) -> str:
    """The trial whose single or stream a file is."""
    matched = _SINGLE.fullmatch(file) or _STREAM.fullmatch(file)
    if matched is None:
        raise ValueError(f"{file} is no file of one trial")
    return matched[1]


def trials_in_file(file: str) -> str:
    """Which trials a file holds, in words: ``trial 00003``, or ``trials 00000 to 00127``."""
    if matched := _PART.fullmatch(file):
        return f"trials {matched[1]} to {matched[2]}"
    return f"trial {key_of(file)}"


def key_order(key: str) -> tuple[int, int]:
    """By which trials are sorted: the index and the repeat in a trial's key."""
    index, _, repeat = key.partition(".r")
    return int(index), int(repeat or 0)


def running_prefix(key: str) -> str:
    """How the names of a trial's streams begin; the underscore hides them from whoever reads the folder as Parquet."""
    return f"_{key}.attempt"


def list_folder(storage: Storage, folder: str) -> Listing:
    """What a folder holds, as of one moment as far as parts are concerned.

    Files that come and go while a folder is listed may be missing from the list. Singles go only once their part is
    there; so where the parts are the same in the next list, none that was looked for has gone into a part unseen.
    """
    before = _list_once(storage, folder)
    for _ in range(MOST_PASSES):
        after = _list_once(storage, folder)
        if before.parts == after.parts:
            return before
        before = after
    raise always_changing(storage, folder)


def read_folder(storage: Storage, folder: str, parse: Callable[[str, bytes], _Content]) -> FolderContent[_Content]:
    """Read every file of a folder that counts, in parallel, each once.

    Args:
        storage: where the folder is.
        folder: its path.
        parse: makes of a file's name and its bytes what is wanted; may raise `BrokenFileError`.
    """
    known: dict[str, _Content] = {}
    broken: dict[str, str] = {}

    def read(file: str) -> bool:
        content = storage.read(f"{folder}/{file}")
        if content is None:
            return False
        try:
            known[file] = parse(file, content)
        except BrokenFileError as error:
            broken[file] = str(error)
        return True

    for _ in range(MOST_PASSES):
        listing = list_folder(storage, folder)
        files = listing.that_count
        new = [file for file in files if file not in known and file not in broken]
        if len(new) < 2:
            found = list(map(read, new))
        else:
            with ThreadPoolExecutor(NUM_THREADS) as threads:
                found = list(threads.map(read, new))
        if all(found):
            read_files = {file: known[file] for file in files if file in known}
            return FolderContent(listing, read_files, {file: broken[file] for file in files if file in broken})
    raise always_changing(storage, folder)


def parquet_table(content: bytes) -> pa.Table:
    """The table in a Parquet file.

    Raises:
        BrokenFileError: it is none, or was cut off.
    """
    try:
        # A third of what `pyarrow.parquet.read_table` takes for a small file.
        table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        table.validate(full=True)
        if not table.column_names:  # which may be no UTF-8
            raise BrokenFileError("it has no columns")
        return table
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BrokenFileError(first_line(error)) from None


def always_changing(storage: Storage, folder: str) -> StorageFailure:
    """What is to be said where files always vanish before they are read."""
    return StorageFailure(
        f"Storage: {storage.uri_of(folder)} cannot be read, for its files change faster than that; "
        "try again, and see that only one round's driver writes there."
    )


def _list_once(storage: Storage, folder: str) -> Listing:
    parts, singles = [], {}
    streams: dict[str, tuple[int, str]] = {}
    for file, num_bytes in storage.sizes(folder).items():
        if matched := _PART.fullmatch(file):
            first, last, number = matched.groups()
            parts.append(Part(int(number), file, first, last, num_bytes))
        elif matched := _SINGLE.fullmatch(file):
            singles[matched[1]] = num_bytes
        elif matched := _STREAM.fullmatch(file):
            key, attempt = matched[1], int(matched[2])
            streams[key] = max(streams.get(key, (0, "")), (attempt, file))
    return Listing(tuple(sorted(parts)), singles, {key: file for key, (_, file) in streams.items()})
