"""Asking a running round, wherever its driver is, to end."""

from __future__ import annotations

import json

from raytune_playbook.engine.checks import is_live
from raytune_playbook.errors import StorageError
from raytune_playbook.records.store import RoundStore, Storage


def stop(name: str, *, storage: str = "rounds", trial: str | None = None) -> None:
    """Ask the driver of a running round, wherever it is, to end the round or one trial at the next evaluation.

    Raises:
        InputError: there is no such round or trial, or the round is not running.
    """
    store = RoundStore(Storage(storage), name)
    record, status = store.round(), store.status()
    if status is None or not is_live(status):
        raise StorageError(
            f"A round must be running to be stopped, but {name!r} is {status.state if status else 'not'}."
        )
    wanted = None
    if trial is not None:
        study, _, key = trial.rpartition("/")
        key = f"{int(key):05d}" if key.isdigit() else key
        if not study and len(record.studies) == 1:
            study = record.studies[0]
        if study not in record.studies:
            raise StorageError(
                f"A trial is named STUDY/INDEX, but got {trial!r}; the round's studies are {', '.join(record.studies)}."
            )
        wanted = [study, key]
    store.storage.write(f"{name}/stop.json", json.dumps({"trial": wanted}).encode())
