"""What a storage knows of a round before it runs, or goes on."""

from __future__ import annotations

from raytune_playbook.errors import StorageError
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.round import Round


def as_recorded(store: RoundStore, round_: Round) -> Round:
    """The round with the number of trials that it was extended to, if it was.

    Raises:
        StorageError: another round has its name.
    """
    if not store.exists():
        return round_
    if store.round().fingerprint != round_.fingerprint:
        raise StorageError(
            f"A round's name belongs to one specification, but {store.uri!r} holds a {round_.name!r} with another; "
            "rename this round, or give another --storage."
        )
    return round_.extended(max(round_.budget.num_trials, store.round().budget.num_trials))
