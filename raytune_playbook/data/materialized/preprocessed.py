"""Examples that were preprocessed once, offline, and saved as Parquet files for later runs (rule PI2).

::

    <storage>/preprocessed/<workload>-<fingerprint>/manifest.json
                                                    train/part-00000.parquet  validation/  test/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.data.columns import Columns, num_bytes, num_examples, to_arrow
from raytune_playbook.data.decode import HASH
from raytune_playbook.data.files.find import File
from raytune_playbook.data.files.listing import Listing
from raytune_playbook.data.splits import Division, Hashes, overlaps
from raytune_playbook.errors import DataError, InputError
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.datasets import SPLITS, Files
from raytune_playbook.study.frozen import FrozenSpec

FOLDER, MANIFEST = "preprocessed", "manifest.json"


class Manifest(FrozenSpec):
    """What ``manifest.json`` holds; written last, so that a folder with one is whole.

    Fields:
        fingerprint: of the workload's file and attributes and of the sources; other ones are preprocessed anew.
        num_examples, num_bytes: by split, preprocessed.
        skipped: a sentence for each part that could not be read and was left out, as the user allowed.
        overlaps: a sentence for each two splits that hold equal examples.
    """

    workload: str
    fingerprint: str
    sources: dict[str, str]
    num_examples: dict[str, int]
    num_bytes: dict[str, int]
    skipped: tuple[str, ...]
    overlaps: tuple[str, ...]
    seconds: float
    created_at: str

    @property
    def folder(self) -> str:
        """Where it lies in the storage."""
        return folder_of(self.workload, self.fingerprint)

    def write(self, storage: Storage) -> None:
        """Say that all else is written."""
        storage.write(f"{self.folder}/{MANIFEST}", self.model_dump_json(indent=2).encode())


def folder_of(workload: str, fingerprint: str) -> str:
    """The folder of one workload's preprocessed examples in a storage."""
    return f"{FOLDER}/{workload}-{fingerprint}"


def find(storage: Storage, workload: str, fingerprint: str) -> Manifest | None:
    """What was preprocessed for a workload as it is now; None where nothing was."""
    path = f"{folder_of(workload, fingerprint)}/{MANIFEST}"
    content = storage.read(path)
    return None if content is None else _manifest(content, storage.uri_of(path))


def files_of(storage: Storage, manifest: Manifest) -> dict[str, Files]:
    """Where the preprocessed examples are, by split."""
    return {
        split: Files(storage.uri_of(f"{manifest.folder}/{split}"), format="parquet")
        for split, number in manifest.num_examples.items()
        if number
    }


def manifest_of(listing: Listing) -> Manifest | None:
    """What vouches for files that were saved here; None for others."""
    first = listing.fragments[0].file
    folder = PurePosixPath(first.path).parent.parent
    if folder.parent.name != FOLDER:
        return None
    try:
        with File(first.filesystem, f"{folder}/{MANIFEST}", 0, "").open() as opened:
            return _manifest(opened.read(), f"{folder}/{MANIFEST}")
    except FileNotFoundError:
        return None


def _manifest(content: bytes, path: str) -> Manifest:
    try:
        return Manifest.from_json(content)
    except InputError as error:
        raise DataError(
            f"{path} must say what was preprocessed there, but does not ({error}); delete its folder, and "
            "preprocess again."
        ) from None


@dataclass
class Writer:
    """Writes the blocks of all splits, one file each, and keeps count."""

    storage: Storage
    folder: str
    num_examples: dict[str, int] = field(default_factory=dict)
    num_bytes: dict[str, int] = field(default_factory=dict)
    _hashes: dict[str, list[Hashes]] = field(default_factory=dict)
    _num_files: dict[str, int] = field(default_factory=dict)

    def write_block(self, split: str, columns: Columns, division: Division | None) -> None:
        """Some examples with the column `HASH`: of a split, or where there is a division each into its own."""
        hashes = columns[HASH].astype(np.uint64)
        arrays = {name: values for name, values in columns.items() if name != HASH}
        if division is None:
            self._write(split, arrays, hashes)
            return
        for name, rows in division.rows(hashes).items():
            self._write(name, {column: values[rows] for column, values in arrays.items()}, hashes[rows])

    def _write(self, split: str, columns: Columns, hashes: Hashes) -> None:
        if not len(hashes):
            return
        number = self._num_files.get(split, 0)
        sink = pa.BufferOutputStream()
        pq.write_table(to_arrow(columns), sink, compression="zstd", write_page_checksum=True)
        self.storage.write(f"{self.folder}/{split}/part-{number:05d}.parquet", sink.getvalue().to_pybytes())
        self._num_files[split] = number + 1
        self._hashes.setdefault(split, []).append(hashes)
        self.num_examples[split] = self.num_examples.get(split, 0) + num_examples(columns)
        self.num_bytes[split] = self.num_bytes.get(split, 0) + num_bytes(columns)

    def require_splits(self) -> None:
        """Check that something can be trained and validated on.

        Raises:
            DataError: a split has no example.
        """
        empty = [split for split in SPLITS[:2] if not self.num_examples.get(split)]
        if empty:
            raise DataError(f"Every split needs an example, but {empty[0]!r} has none after preprocessing; correct it.")

    def clear(self) -> None:
        """Delete what an earlier attempt left."""
        self.storage.delete_folder(self.folder)

    def overlaps(self) -> tuple[str, ...]:
        """A sentence for each two splits that hold equal examples."""
        hashes = {split: np.concatenate(each) for split, each in self._hashes.items()}
        return tuple(overlap.sentence for overlap in overlaps(hashes))
