"""The doors to trials of other tools: Ray Tune's, Optuna's, and those in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from raytune_playbook.report.foreign.foreign_round import ForeignRound, foreign_round
from raytune_playbook.report.foreign.optuna_study import recorded_by_optuna
from raytune_playbook.report.foreign.ray_tune import ResultGrid, recorded_by_ray_tune
from raytune_playbook.report.foreign.roles import read_roles
from raytune_playbook.report.foreign.table import Table, recorded_in_table
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.study.settings import Over

if TYPE_CHECKING:
    from optuna import Study


class Said(TypedDict, total=False):
    """What can be said of trials; `raytune_playbook.report.foreign.roles` has what each field means."""

    name: str | None
    goal: str | None
    objective: str | None
    maximize: bool | None
    over: Over | None
    scientific: str | Sequence[str]
    seeds: str | Sequence[str]
    ignore: str | Sequence[str]
    validation_examples: int | None
    fixed: Mapping[str, Value]
    ranges: Mapping[str, Hyperparameter]


def read_ray_tune(
    result_grid: str | Path | ResultGrid, *, roles: str | Path | None = None, command: str = "", **said: Unpack[Said]
) -> ForeignRound:
    """The trials of a `ray.tune.Tuner`: ``read_ray_tune(tuner.fit(), objective="val_loss", scientific="optimizer")``.

    Args:
        result_grid: what the tuner returned, or the experiment's folder.
        roles: a TOML file that says what the trials mean.
        command: that makes the page again.
        said: the same as in the file, which it goes before.

    Raises:
        InputError: there are no such trials, or what was said does not fit them.
    """
    given = read_roles(roles, **said)
    return foreign_round(recorded_by_ray_tune(result_grid), given, command)


def read_optuna(
    study: str | Path | Study,
    study_name: str | None = None,
    *,
    roles: str | Path | None = None,
    command: str = "",
    **said: Unpack[Said],
) -> ForeignRound:
    """The trials of an Optuna study: ``read_optuna("sqlite:///optuna.db", scientific="optimizer")``.

    Args:
        study: itself, its database's URL, or a file with the database or a journal.
        study_name: which one, where there are several.
        roles, command, said: as of `read_ray_tune`.

    Raises:
        InputError: there is no such study, or what was said does not fit it.
    """
    given = read_roles(roles, **said)
    return foreign_round(recorded_by_optuna(study, study_name), given, command)


def read_table(
    table: Table, *, roles: str | Path | None = None, command: str = "", **said: Unpack[Said]
) -> ForeignRound:
    """The trials in a table, one a row: ``read_table("trials.csv", objective="val_error", scientific="optimizer")``.

    Args:
        table: a CSV or Parquet file, an Arrow table, a pandas DataFrame, or columns by name.
        roles, command, said: as of `read_ray_tune`.

    Raises:
        InputError: there is no such table, or what was said does not fit it.
    """
    given = read_roles(roles, **said)
    return foreign_round(recorded_in_table(table, given), given, command)
