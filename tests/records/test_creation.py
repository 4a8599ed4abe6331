"""Creating a file unless it is there: of many that try at once one succeeds, on every kind of storage."""

from __future__ import annotations

import errno
import io
import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from raytune_playbook.records import creation
from raytune_playbook.records.creation import contender_prefix, create_if_absent
from raytune_playbook.records.storage import Storage

NUM_CONTENDERS = 5


def contend(storage: Callable[[], Storage], path: str) -> list[bool]:
    """What several contenders at once are told."""
    together = threading.Barrier(NUM_CONTENDERS)

    def contender(number: int) -> bool:
        mine = storage()
        together.wait()
        return create_if_absent(mine, path, str(number).encode())

    with ThreadPoolExecutor(NUM_CONTENDERS) as threads:
        return list(threads.map(contender, range(NUM_CONTENDERS)))


def test_one_of_many_contenders_creates_a_file(any_storage):
    for attempt in range(5):
        created = contend(any_storage, f"round/claims/{attempt}.json")
        assert sum(created) == 1
        assert any_storage().read(f"round/claims/{attempt}.json") == str(created.index(True)).encode()
    assert any_storage().files("round/claims") == [f"{attempt}.json" for attempt in range(5)]  # and nothing else stays


def test_a_file_that_is_there_is_left_alone(any_storage):
    storage = any_storage()
    storage.write("a/file", b"there")
    assert not create_if_absent(storage, "a/file", b"mine")
    assert (storage.read("a/file"), storage.files("a")) == (b"there", ["file"])


def test_a_local_filesystem_without_links_creates_exclusively_too(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    created = contend(lambda: Storage(str(tmp_path)), "a/file")
    assert sum(created) == 1
    assert (tmp_path / "a" / "file").read_text() == str(created.index(True))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


def test_without_links_a_write_that_fails_leaves_nothing_that_its_next_try_takes_for_anothers(tmp_path, monkeypatch):
    opened, is_first = Path.open, iter([True])

    class Failing(io.FileIO):
        def write(self, _: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def open_(path: Path, mode: str) -> IO[bytes]:
        return Failing(path, "x") if mode == "xb" and next(is_first, False) else opened(path, mode)

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    monkeypatch.setattr(Path, "open", open_)
    assert create_if_absent(Storage(str(tmp_path)), "a/file", b"whole")
    assert (tmp_path / "a" / "file").read_bytes() == b"whole"


@pytest.mark.parametrize("first", ["0", "z"])
def test_a_contender_that_crashed_is_waited_for_only_so_long(object_store, first):
    storage = object_store()
    storage.write(f"a/{contender_prefix('file')}{first}", b"contends")
    assert create_if_absent(storage, "a/file", b"mine", lost_s=0.3)
    assert storage.files("a") == ["file"]


# ---------------------------------------------------------------------- every order of what contenders do


class Turns:
    """Lets threads take their steps one at a time, in an order that a seed decides."""

    def __init__(self, seed: int, num_threads: int) -> None:
        self._random, self._num_running = random.Random(seed), num_threads
        self._waiting: list[int] = []
        self._next: int | None = None
        self._changed = threading.Condition()

    def step(self) -> None:
        """Wait for one's turn."""
        me = threading.get_ident()
        with self._changed:
            self._waiting.append(me)
            self._choose()
            self._changed.wait_for(lambda: self._next == me)
            self._next = None

    def leave(self) -> None:
        """Take no more steps."""
        with self._changed:
            self._num_running -= 1
            self._choose()

    def _choose(self) -> None:
        if self._waiting and len(self._waiting) == self._num_running:
            self._next = self._random.choice(sorted(self._waiting))
            self._waiting.remove(self._next)
            self._changed.notify_all()


class InTurns(Storage):
    """An object store in memory: what was written is seen by all later reads and lists; no more is promised."""

    def __init__(self, files: dict[str, bytes], turns: Turns) -> None:
        self._files, self._turns = files, turns

    @property
    def local_path(self) -> None:
        return None

    def read(self, path: str) -> bytes | None:
        self._turns.step()
        return self._files.get(path)

    def write(self, path: str, content: bytes) -> None:
        self._turns.step()
        self._files[path] = content

    def delete(self, path: str) -> None:
        self._turns.step()
        self._files.pop(path, None)

    def files(self, folder: str) -> list[str]:
        self._turns.step()
        return sorted(path.removeprefix(f"{folder}/") for path in self._files)


def test_in_whatever_order_contenders_take_their_steps_one_creates_the_file(monkeypatch):
    monkeypatch.setattr(creation, "POLL_S", 0.0)
    names = random.Random(0)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=names.getrandbits(128)))
    for seed in range(150):
        files: dict[str, bytes] = {}
        turns = Turns(seed, num_threads=3)

        def contender(number: int, files: dict[str, bytes] = files, turns: Turns = turns) -> bool:
            try:
                return create_if_absent(InTurns(files, turns), "a/file", str(number).encode())
            finally:
                turns.leave()

        with ThreadPoolExecutor(3) as threads:
            created = list(threads.map(contender, range(3)))
        assert sum(created) == 1, seed
        assert files == {"a/file": str(created.index(True)).encode()}, seed
