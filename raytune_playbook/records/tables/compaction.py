"""Compaction: trials that have ended go from a file each into parts, so that a round's readers open few files.

Only the driver that holds the round's claim compacts. A part is written whole before what it replaces is deleted, so
that a crash in between leaves a trial twice, of which readers take one, and the next compaction clears up. The work for
a trial grows with the logarithm of the round at most.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from raytune_playbook.records.storage import Storage
from raytune_playbook.records.tables.compacted_folder import CompactedFolder
from raytune_playbook.records.tables.listing import list_folder
from raytune_playbook.records.tables.measurement_compaction import compact_measurements
from raytune_playbook.records.tables.row_compaction import compact_rows, text_columns
from raytune_playbook.study.study import StudySpec

EVERY_TRIALS = 128
"""While a round runs, a study is compacted when so many of its trials have ended since."""


class Compaction:
    """Compacts a round's records while it runs, and at the end of the run."""

    def __init__(self, storage: Storage, round_name: str, studies: Sequence[StudySpec]) -> None:
        self._storage, self._round = storage, round_name
        self._studies = {study.name: study for study in studies}
        # What earlier runs left, such as one that was killed, or one of a version that compacted nothing.
        self._num_new = {
            name: len(list_folder(storage, f"{round_name}/{name}/trials").singles) for name in self._studies
        }

    def has_ended(self, study: str) -> None:
        """One more trial of a study has."""
        self._num_new[study] += 1

    def due(self) -> list[str]:
        """The studies that are to be compacted by now."""
        return [name for name, number in self._num_new.items() if number >= EVERY_TRIALS]

    def compact(self, study: str, ended: Collection[str], may_write: Callable[[], None], *, is_end: bool) -> None:
        """Compact a study.

        Args:
            study: its name.
            ended: keys of all its trials that have ended.
            may_write: raises where the round's claim was lost; asked before anything is deleted.
            is_end: of the run.

        Raises:
            OSError: the storage cannot be written; no record is lost.
        """
        self._num_new[study] = 0
        folder = f"{self._round}/{study}"
        rows, measurements = (
            CompactedFolder(self._storage, f"{folder}/{name}", may_write) for name in ("trials", "measurements")
        )
        compact_measurements(measurements, ended, is_end=is_end)
        compact_rows(rows, text_columns(self._studies[study]), into_one=is_end)
