"""Creating a file unless there is one of its name: of several processes that try at once, one succeeds.

Local filesystems can do that themselves. Object stores behind pyarrow cannot, but what was written there is seen by
whoever reads or lists afterwards, which is enough for mutual exclusion: each contender leaves a file of its own beside
the one to be created, and then looks who else did. One that sees itself alone may create it; of two contenders at
least the later one sees the other. Where several see each other, the one that comes first by name stays until the
others have given way (L. Lamport, A new solution of Dijkstra's concurrent programming problem, 1974).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from raytune_playbook.records.retries import passes, tried
from raytune_playbook.records.storage import Storage

LOST_S = 30.0
"""A contender that has been there for this long, as seen by one clock, crashed in between; it takes milliseconds."""

POLL_S = 0.1


def create_if_absent(storage: Storage, path: str, content: bytes, *, lost_s: float = LOST_S) -> bool:
    """Write one file, whole, unless it is there; returns whether it was written.

    Raises:
        OSError: the storage cannot be written.
    """
    if storage.local_path is not None:
        place = Path(storage.place(path))
        return tried(lambda: _create_locally(place, content))
    if storage.read(path) is not None:
        return False
    contest = _Contest(storage, path, lost_s)
    try:
        return contest.is_won() and _create_alone(storage, path, content)
    finally:
        contest.leave()


def contender_prefix(name: str) -> str:
    """How the names of the files begin by which processes contend for creating a file."""
    return f".{name}."


def _create_locally(path: Path, content: bytes) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{contender_prefix(path.name)}{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        try:
            path.hardlink_to(temporary)
        except OSError as error:
            if temporary.stat().st_nlink == 2:  # it was done, and the answer was lost, as over a network
                return True
            if isinstance(error, FileExistsError):
                return False
            if passes(error):
                raise
            return _create_without_links(path, content)
        return True
    finally:
        tried(lambda: temporary.unlink(missing_ok=True))


def _create_without_links(path: Path, content: bytes) -> bool:
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except OSError:  # what is half written would be another's to the next try
        path.unlink(missing_ok=True)
        raise
    return True


def _create_alone(storage: Storage, path: str, content: bytes) -> bool:
    if storage.read(path) is not None:  # by one that was alone before
        return False
    storage.write(path, content)
    return True


class _Contest:
    """One contender's part in the contest for a file."""

    def __init__(self, storage: Storage, path: str, lost_s: float) -> None:
        self._storage, self._path, self._lost_s = storage, path, lost_s
        self._folder, _, name = path.rpartition("/")
        self._prefix = contender_prefix(name)
        self._mine = f"{self._prefix}{uuid.uuid4().hex}"
        self._first_seen_s: dict[str, float] = {}
        self._is_there = False

    def is_won(self) -> bool:
        """Wait until this contender is alone, which it then is until it leaves, or the file is there."""
        while True:
            others = self._others()
            if not self._is_there and not _gives_way(self._mine, others):
                self._storage.write(f"{self._folder}/{self._mine}", b"contends")
                self._is_there = True
                others = self._others()  # looked up after writing: whoever wrote later sees this contender
            if self._is_there and not others:
                return True
            if _gives_way(self._mine, others):
                self.leave()
            if self._storage.read(self._path) is not None:
                return False
            self._remove_lost(others)
            time.sleep(POLL_S)

    def leave(self) -> None:
        """Contend no longer."""
        if self._is_there:
            self._storage.delete(f"{self._folder}/{self._mine}")
            self._is_there = False

    def _others(self) -> list[str]:
        there = self._storage.files(self._folder)
        return [name for name in there if name.startswith(self._prefix) and name != self._mine]

    def _remove_lost(self, others: Iterable[str]) -> None:
        now_s = time.monotonic()
        self._first_seen_s = {name: self._first_seen_s.get(name, now_s) for name in others}
        for name, first_seen_s in self._first_seen_s.items():
            if now_s - first_seen_s > self._lost_s:
                self._storage.delete(f"{self._folder}/{name}")


def _gives_way(name: str, others: list[str]) -> bool:
    return any(other < name for other in others)
