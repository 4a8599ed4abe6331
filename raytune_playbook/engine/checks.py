"""What must hold before a round starts, each refusal one sentence; nothing has been written by then."""

from __future__ import annotations

import os
import socket
import time
import traceback

import torch
from torch import nn

from raytune_playbook.data.stream import batch_rows
from raytune_playbook.engine.provenance import command
from raytune_playbook.errors import InputError, SpecError, StorageError
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import RoundStatus
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.data_split import data_split
from raytune_playbook.study.evaluation_settings import check_evaluation
from raytune_playbook.study.round import Round
from raytune_playbook.study.spec import TrialSpec
from raytune_playbook.train.averaging import weight_average
from raytune_playbook.train.batch_norm import convert_batch_norm
from raytune_playbook.train.clipping import clipping_threshold
from raytune_playbook.train.optimizers import optimizer
from raytune_playbook.train.precision import autocast
from raytune_playbook.train.schedules import schedule
from raytune_playbook.train.workload import Values, Workload

NUM_CHECKED = 16
"""As many arms as a joint study starts with, and more points of any space than a mistake hides from."""

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


def check_values(round_: Round) -> None:
    """Check what the training loop will ask of the values of each study's first trials.

    What depends on the model or the examples is found by the check before trial 0. A point that the workload declares
    infeasible is never trained, and may hold anything.

    Raises:
        SpecError: a value breaks a rule.
    """
    for study in round_.studies:
        check_evaluation(study)
        for trial in (suggest(study, index) for index in range(min(study.num_trials, NUM_CHECKED))):
            if not workload_of(round_).infeasible(Values(trial.values)):
                _check_trial(trial, round_.resources.num_workers)


def _check_trial(trial: TrialSpec, num_workers: int) -> None:
    values, toy = Values(trial.values), nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    batch_size = values.int("batch_size")
    next(batch_rows(trial, batch_size, batch_size, rank=0, num_workers=num_workers))
    convert_batch_norm(toy, statistics=values.str("batch_norm"), virtual_batch_size=values.int("virtual_batch_size"))
    optimizer(toy, values)
    weight_average(toy, values)
    schedule(values, trial.max_train_steps)
    clipping_threshold(values)
    autocast(values, torch.device("cpu"))
    values.bool("compile")
    data_split(values)


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


def datasets_of(workload: Workload) -> object:
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
