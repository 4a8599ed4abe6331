"""What a round's results are, whatever happened on the way: one hash over them, and who changed since."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa

from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.trial import trial_key
from raytune_playbook.train.saved.checkpoints import checkpoints_folder, read_weights

RESULTS = (
    "study",
    "index",
    "repeat",
    "outcome",
    "reason",
    "objective",
    "best_step",
    "best_checkpoint_step",
    "num_steps",
)
"""Columns of a trial's row that its specification determines, beside ``values.*``; others are times and machines."""


def results_hash(store: RoundStore) -> str:
    """Of all trials: rows, measurements, and the weights of the best checkpoints; without times and machines."""
    digest = hashlib.sha256()
    for row in store.trials().to_pylist():
        digest.update(trial_hash(store, row).encode())
    return digest.hexdigest()


def trial_hash(store: RoundStore, row: dict[str, Any]) -> str:
    """Of one trial that has ended."""
    study, key = row["study"], trial_key(row["index"], row["repeat"])
    kept = {name: row[name] for name in (*RESULTS, *sorted(name for name in row if name.startswith("values.")))}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode())
    measured = store.measurements(study, key)
    if measured is not None:
        digest.update(
            table_bytes(measured.drop_columns([name for name in TIME_COLUMNS if name in measured.column_names]))
        )
    if (step := row["best_checkpoint_step"]) is not None:
        folder = f"{store.name}/{checkpoints_folder(study, key)}"
        for name, tensor in read_weights(store.storage, folder, step).items():
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def table_bytes(table: pa.Table) -> bytes:
    """Its rows in order, as text that says every bit of a number; columns by name, those without a value left out."""
    columns = {name: table[name].to_pylist() for name in sorted(table.column_names)}
    said = {name: [_said(value) for value in values] for name, values in columns.items() if set(values) != {None}}
    return json.dumps(said).encode()


def _said(value: float | str | None) -> str | None:
    return value.hex() if isinstance(value, float) else value if value is None else str(value)


class Ended:
    """The trials that have ended, of which none may change or vanish any more."""

    def __init__(self, store: RoundStore, known: dict[str, str]) -> None:
        self._store, self.known = store, known
        self.running, self.failed = frozenset[str](), frozenset[str]()

    def look(self) -> list[str]:
        """Read all records back.

        Returns:
            A sentence for each trial that changed or vanished since it was seen to have ended.

        Raises:
            StorageError: a file of them cannot be read.
        """
        now, running, failed = dict[str, str](), set[str](), set[str]()
        for row in self._store.trials().to_pylist():
            key = trial_key(row["index"], row["repeat"])
            name = f"{row['study']}/{key}"
            if row["outcome"] not in (None, "failed"):
                now[name] = _whole(row, self._store)
                continue
            self._store.measurements(row["study"], key)
            if row["outcome"] == "failed":  # it may be run again
                failed.add(name)
            elif row["attempts"][-1]["ended"] is None:
                running.add(name)
        wrong = [f"trial {name} has changed or is gone" for name, was in self.known.items() if now.get(name) != was]
        self.known |= now
        self.running, self.failed = frozenset(running), frozenset(failed)
        return wrong

    @property
    def num(self) -> int:
        return len(self.known)


def _whole(row: dict[str, Any], store: RoundStore) -> str:
    """Of a trial with its attempts and times, which don't change either once it has ended."""
    measured = store.measurements(row["study"], trial_key(row["index"], row["repeat"]))
    content = table_bytes(measured) if measured is not None else b""
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode() + content).hexdigest()


def store_of(folder: str, name: str) -> RoundStore:
    return RoundStore(Storage(folder), name)
