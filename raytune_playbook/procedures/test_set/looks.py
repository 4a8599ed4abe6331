"""Every time that a workload's test set was read, by whatever command (rule AD6)."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.records.registry import is_same_workload
from raytune_playbook.records.scores import TEST, ScoreRecord, read_scores
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore, round_names
from raytune_playbook.study.study import WorkloadSpec


@dataclass(frozen=True)
class Look:
    """One time, and in which round."""

    round: str
    score: ScoreRecord

    def text(self, metric: str) -> str:
        """In words: ``on 2026-01-31 (cancer, all/00003: error 0.03)``."""
        value = self.score.metrics.get(metric)
        said = "" if value is None else f": {metric} {value:.4g}"
        return f"on {self.score.scored_at[:10]} ({self.round}, {self.score.study}/{self.score.trial}{said})"


def looks_of(storage: Storage, workload: WorkloadSpec) -> list[Look]:
    """All of a workload's rounds in the storage, the earliest first; a round that cannot be read refuses.

    Raises:
        StorageError: a record is broken, so that it is not known whether the test set was read.
    """
    found = []
    for name in round_names(storage):
        store = RoundStore(storage, name)
        if is_same_workload(store.round().workload, workload):
            found += [Look(name, score) for score in read_scores(store) if score.split == TEST]
    return sorted(found, key=lambda look: look.score.scored_at)
