"""Asking a running round, wherever its driver is, to end."""

from __future__ import annotations

import json
from collections.abc import Sequence

from raytune_playbook.analysis.trials import TrialId
from raytune_playbook.engine.jobs.preflight import is_live
from raytune_playbook.errors import StorageError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.store import RoundStore, Storage
from raytune_playbook.study.trial import trial_key


def stop(name: str, *, storage: str = DEFAULT_STORAGE, trial: str | None = None) -> None:
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
    wanted = None if trial is None else list(trial_id_of(trial, record.studies))
    store.storage.write(f"{name}/stop.json", json.dumps({"trial": wanted}).encode())


def trial_id_of(trial: str, studies: Sequence[str]) -> TrialId:
    """The study and key of a trial that is named STUDY/INDEX, or INDEX where there is but one study.

    Raises:
        StorageError: there is no such study.
    """
    study, _, key = trial.rpartition("/")
    key = trial_key(int(key)) if key.isdigit() else key
    if not study and len(studies) == 1:
        study = studies[0]
    if study not in studies:
        raise StorageError(
            f"A trial is named STUDY/INDEX, but got {trial!r}; the round's studies are {', '.join(studies)}."
        )
    return study, key
