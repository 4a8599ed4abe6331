"""Which rounds of a storage came before another one, of the same workload, for as many steps (rule LN7).

Rounds of procedures are none of them: they train what nobody has chosen (each batch size there is, or no regularizer),
so that one which happens to be like a later round would vouch for a number of steps that was not chosen for it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from raytune_playbook.analysis.evidence import EarlierRound
from raytune_playbook.errors import StorageError
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.tables.listing import NUM_THREADS
from raytune_playbook.records.types import RoundRecord


def earlier_rounds(store: RoundStore, record: RoundRecord) -> tuple[EarlierRound, ...]:
    """The others, in the order in which they were created; one whose records are broken is none to compare with.

    Args:
        store: the round's folder, in whose storage the others are.
        record: the round's.
    """
    names = [name for name in store.storage.folders() if name != store.name]
    if not names:
        return ()
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        found = list(threads.map(lambda name: _earlier(RoundStore(store.storage, name), record), names))
    return tuple(round_ for _, round_ in sorted((each for each in found if each), key=lambda each: each[0]))


def _earlier(store: RoundStore, record: RoundRecord) -> tuple[str, EarlierRound] | None:
    """A round and when it was created; None where it is no earlier one."""
    try:
        other = store.round()
        is_earlier = (
            other.part_of is None
            and other.workload.name == record.workload.name
            and other.budget.max_train_steps == record.budget.max_train_steps
            and other.created_at < record.created_at
            and other.budget.target is None  # else its trials were no longer than they needed
        )
        studies = tuple(store.studies()) if is_earlier else ()
    except StorageError:  # it is no round, or a broken one, whose own page says so
        return None
    return (other.created_at, EarlierRound(store.name, studies, other.examples)) if studies else None
