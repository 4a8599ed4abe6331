"""What must hold before a round starts, each refusal one sentence; nothing has been written by then."""

from __future__ import annotations

import traceback

import torch
from torch import nn

from raytune_playbook.data.order import BatchShare, batch_rows
from raytune_playbook.errors import InputError, SpecError
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.data_split import data_split
from raytune_playbook.study.evaluation_settings import check_evaluation
from raytune_playbook.study.round import Round
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.batch_norm import convert_batch_norm
from raytune_playbook.train.precision import autocast
from raytune_playbook.train.update.averaging import weight_average
from raytune_playbook.train.update.clipping import clipping_threshold
from raytune_playbook.train.update.optimizers import optimizer
from raytune_playbook.train.update.schedules import schedule
from raytune_playbook.train.workload import Values, Workload

NUM_CHECKED = 16
"""As many arms as a joint study starts with, and more points of any space than a mistake hides from."""


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
    batch_size = values.integer("batch_size")
    next(batch_rows(trial, batch_size, BatchShare(batch_size, num_workers=num_workers)))
    convert_batch_norm(
        toy, statistics=values.text("batch_norm"), virtual_batch_size=values.integer("virtual_batch_size")
    )
    optimizer(toy, values)
    weight_average(toy, values)
    schedule(values, trial.max_train_steps)
    clipping_threshold(values)
    autocast(values, torch.device("cpu"))
    values.flag("compile")
    data_split(values)


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
