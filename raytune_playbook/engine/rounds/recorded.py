"""What a storage knows of a round before it runs, or goes on; looking at it needs neither ray nor torch."""

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


def job_of(store: RoundStore) -> str:
    """The job file that a round was started from.

    Raises:
        StorageError: there is no such round, it was started from Python or by a procedure, or its storage cannot be
            written.
    """
    record = store.round()
    if record.part_of is not None:
        raise StorageError(
            f"A round is gone on with by what runs it, but {record.name!r} is part of the {record.part_of.text}; run "
            f"that again: {record.part_of.command}"
        )
    if record.job is None:
        raise StorageError(
            f"Round {record.name!r} was started from Python ({record.command}), so its code is there; run it again to "
            "go on."
        )
    store.storage.check_writable()
    return record.job


def job_to_extend(store: RoundStore, num_trials: int) -> str:
    """The same, of a round that shall have more trials.

    Raises:
        StorageError: it has as many already, or as `job_of`.
    """
    job, record = job_of(store), store.round()
    if num_trials <= record.budget.num_trials:
        raise StorageError(
            f"An extended round has more trials than before, but {store.name!r} has {record.budget.num_trials} and "
            f"{num_trials} were asked for; ask for more."
        )
    return job
