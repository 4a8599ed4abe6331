"""What must hold before a round starts, each refusal one sentence; nothing has been written by then."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Mapping

from raytune_playbook.engine.provenance import command
from raytune_playbook.errors import InputError, SpecError, StorageError
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundStatus
from raytune_playbook.study.round import Round
from raytune_playbook.train.workload import Workload

DRIVER_LOST_S = 30.0
"""A running round whose driver has given no sign of life for this long may be taken over."""


def workload_of(round_: Round) -> Workload:
    """The round's workload.

    Raises:
        SpecError: it is no `Workload`.
    """
    if not isinstance(round_.workload, Workload):
        raise SpecError(
            "Round.workload: a raytune_playbook.Workload is needed, "
            f"but got {type(round_.workload).__name__}; subclass it."
        )
    return round_.workload


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


def is_live(status: RoundStatus) -> bool:
    """Whether a driver runs the round now."""
    if status.state != "running" or time.time() - status.seen_at_s >= DRIVER_LOST_S:
        return False
    host, _, process_id = status.driver.rpartition(":")
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(process_id), 0)  # on this machine a killed driver is known at once
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's, and there
    return True


def datasets_of(workload: Workload) -> Mapping[str, object]:
    """The workload's examples.

    Raises:
        SpecError: its code raises.
    """
    try:
        return workload.datasets()
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises becomes one sentence
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise SpecError(
            f"Workload.datasets must return the examples, but raises {type(error).__name__}: {error} "
            f"({where.filename}, line {where.lineno}); correct it."
        ) from None
