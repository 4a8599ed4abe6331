"""A folder that is being compacted, as the driver that holds the round's claim writes there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from raytune_playbook.records.storage import Storage
from raytune_playbook.records.tables.listing import NUM_THREADS, Listing, list_folder, new_part_file


@dataclass(frozen=True)
class CompactedFolder:
    """A folder that is compacted.

    Fields:
        may_write: raises where the round's claim was lost; asked before anything is deleted.
    """

    storage: Storage
    path: str
    may_write: Callable[[], None]

    def listing(self) -> Listing:
        return list_folder(self.storage, self.path)

    def content(self, file: str) -> bytes:
        """A file's bytes; the driver's own files do not vanish."""
        content = self.storage.read(f"{self.path}/{file}")
        if content is None:
            raise FileNotFoundError(f"{self.storage.root}/{self.path}/{file}")
        return content

    def write_part(self, number: int, keys: Sequence[str], content: bytes) -> None:
        self.storage.write(f"{self.path}/{new_part_file(number, keys)}", content)

    def delete(self, files: Iterable[str]) -> None:
        self.may_write()
        with ThreadPoolExecutor(NUM_THREADS) as threads:
            list(threads.map(self.storage.delete, [f"{self.path}/{file}" for file in files]))
