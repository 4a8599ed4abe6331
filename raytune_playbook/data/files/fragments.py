"""What one task reads of the examples in files: a row group of a Parquet file, another file, or a few images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from raytune_playbook.data.columns import Columns, num_examples
from raytune_playbook.data.files.find import DAMAGED, File, unreadable
from raytune_playbook.errors import DataError


@dataclass(frozen=True)
class Fragment(ABC):
    """The part of the examples that one task reads; every format has its own. It travels to tasks, on any node.

    Fields:
        files: one, or several small ones.
        columns: the only ones that are read; None for all.
        number: among the fragments of its file; None where it is the whole file.
        num_examples: None where only reading tells.
        num_bytes: an estimate, before any preprocessing.
    """

    files: tuple[File, ...]
    columns: tuple[str, ...] | None
    number: int | None = None
    num_examples: int | None = None
    num_bytes: int = 0

    @property
    def file(self) -> File:
        """The first one."""
        return self.files[0]

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.file.uri

    def read(self) -> Columns:
        """Its examples.

        Raises:
            DataError: it is gone, cut short, corrupt, or holds another number of examples than when it was listed.
        """
        try:
            columns = self._read()
        except DAMAGED as error:
            raise unreadable(self.name, error) from None
        if self.num_examples is not None and (found := num_examples(columns)) != self.num_examples:
            raise DataError(
                f"Files must stay as they are while a round runs, but {self.name} held {self.num_examples} examples "
                f"when it began and holds {found} now; restore it, or start another round."
            )
        return columns

    def place(self, row: int) -> str:
        """How messages call the place of an example."""
        return f"row {row} of {self.name}"

    @abstractmethod
    def _read(self) -> Columns:
        """The same; whatever a reader raises on damaged files may get through."""
