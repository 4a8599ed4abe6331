"""What a storage knows of a round before it runs, or goes on."""

from __future__ import annotations

from raytune_playbook.engine.jobs.preflight import is_live
from raytune_playbook.engine.jobs.provenance import command
from raytune_playbook.errors import StorageError
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.round import Round


def as_recorded(store: RoundStore, round_: Round) -> Round:
    """The round with the number of trials that it was extended to, if it was.

    Raises:
        StorageError: another round has its name, or another driver runs it.
    """
    if not store.exists():
        return round_
    if store.round().fingerprint != round_.fingerprint:
        raise StorageError(
            f"A round's name belongs to one specification, but {store.uri!r} holds a {round_.name!r} with another; "
            "rename this round, or give another --storage."
        )
    status = store.status()
    if status is not None and is_live(status):
        raise StorageError(
            f"A round has one driver at a time, but {status.driver} runs {round_.name!r}; "
            f"wait for it, or end it with: {command('stop', round_.name, '--storage', store.storage.uri)}"
        )
    return round_.extended(max(round_.budget.num_trials, store.round().budget.num_trials))
