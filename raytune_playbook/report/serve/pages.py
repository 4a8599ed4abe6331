"""The rows and pages of a storage's rounds: made again where the records changed, once at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from raytune_playbook.errors import PlaybookError, StorageError
from raytune_playbook.records.storage import Storage, first_line
from raytune_playbook.records.store import RoundStore, round_names
from raytune_playbook.report.page.extras import read_extras
from raytune_playbook.report.page.page import PATH, read_insight_at, render_page
from raytune_playbook.report.serve.listing import RoundRow, round_row
from raytune_playbook.report.serve.versions import list_version, round_version

MAX_PAGES = 8
"""So many pages, of several MB each, are kept."""

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Page:
    """A round's page.

    Fields:
        html: the whole file.
        version: of the records that it was made from.
        is_live: whether the round runs, so that it is to be made again.
    """

    html: str
    version: str
    is_live: bool


class _Cache(Generic[_Made]):
    """The newest that was made of each round, at most so many of them; two threads never make the same."""

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._made: OrderedDict[str, tuple[str, _Made]] = OrderedDict()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._own = threading.Lock()

    def get(self, name: str, version: str, make: Callable[[], _Made]) -> _Made:
        with self._own:
            lock = self._locks[name]
        with lock:
            with self._own:
                there = self._made.get(name)
                if there is not None and there[0] == version:
                    self._made.move_to_end(name)
                    return there[1]
            made = make()
            with self._own:
                self._made[name] = (version, made)
                self._made.move_to_end(name)
                while self._size is not None and len(self._made) > self._size:
                    self._made.popitem(last=False)
            return made


class Pages:
    """What is served of a storage; every method may be called by several threads."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._rows: _Cache[RoundRow] = _Cache(None)
        self._pages: _Cache[Page] = _Cache(MAX_PAGES)

    def listed(self) -> tuple[str, list[RoundRow]]:
        """The list's version, which is looked at before the records are read, and its rows."""
        version = self.list_version()
        return version, self.rows()

    def rows(self) -> list[RoundRow]:
        """All rounds, the newest first, then those whose records are broken."""
        rows = [self.row(name) for name in round_names(self.storage)]
        return sorted(rows, key=lambda row: (row.created_at_s is None, -(row.created_at_s or 0), row.name))

    def row(self, name: str) -> RoundRow:
        """One round; one that cannot be read says why."""
        try:
            return self._rows.get(name, self.version(name), lambda: round_row(self._store(name)))
        except (PlaybookError, ValueError, OSError) as error:
            return RoundRow(name, broken=first_line(error))

    def list_version(self) -> str:
        """Of the list."""
        return list_version(self.storage, round_names(self.storage))

    def version(self, name: str) -> str:
        """Of a round's records.

        Raises:
            InputError: there is no such round, or it is broken.
        """
        return round_version(self.storage, name, self._store(name).round().studies)

    def page(self, name: str, path: str = PATH) -> Page:
        """A round's page, made of its records as they are now.

        Args:
            name: of the round.
            path: of the page within the round's folder, which tells the objective that it judges by.

        Raises:
            InputError: there is no such round or page, or it is broken.
        """
        version = self.version(name)  # looked at before the records are read: what changes meanwhile makes it old
        return self._pages.get(f"{name}/{path}", version, lambda: self._made(name, path, version))

    def _made(self, name: str, path: str, version: str) -> Page:
        store = self._store(name)
        is_live = not self.row(name).is_final  # likewise: a round that ends meanwhile is looked at once more
        insight = read_insight_at(store, path)
        if insight is None:
            raise StorageError(f"A page of round {name!r} is named by an objective of its own, but {path!r} by none.")
        return Page(render_page(insight, read_extras(store, insight)), version, is_live)

    def _store(self, name: str) -> RoundStore:
        if name not in round_names(self.storage):  # which also keeps a path out of it
            raise StorageError(f"Round {name!r} must be in the storage, but it is not there; see the list of rounds.")
        return RoundStore(self.storage, name)
