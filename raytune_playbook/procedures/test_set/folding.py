"""Folding the validation set into training: one workload's examples joined, for its last training of all (rule AD8).

The playbook: "this is only appropriate if there won't be future launches with this specific workload". What validation
examples are scored while it trains are training examples by then, so nothing is chosen by them: the number of steps is
fixed beforehand, and the last step's model is the one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import ray.data

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.engine.jobs.preflight import datasets_of
from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.launch.configuration import Configuration
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.datasets import Files, Split
from raytune_playbook.train.workload import Workload


def folded(workload: Workload, num_examples: int) -> Workload:
    """The same workload, whose training examples hold the validation examples, too; the test set stays as it is.

    Args:
        num_examples: of training and validation together.

    Raises:
        SpecError: they are given in a way in which they cannot be joined.
    """
    joined(datasets_of(workload), num_examples)  # refuses before anything is trained
    found = copy.copy(workload)
    found.__dict__["datasets"] = _Joined(workload, num_examples)  # travels with the object, as its settings do
    return found


@dataclass(frozen=True)
class _Joined:
    """In the place of `Workload.datasets`."""

    workload: Workload
    num_examples: int

    def __call__(self) -> object:
        return joined(self.workload.datasets(), self.num_examples)


def joined(datasets: object, num_examples: int) -> object:
    """What `Workload.datasets` returned, with the validation examples among those of training.

    A `Split` must leave one example to validation: it has the share of one.

    Raises:
        SpecError: they cannot be joined.
    """
    if isinstance(datasets, Split):
        if datasets.grows:
            raise SpecError(
                "Folding: a Split that grows divides by each example's hash alone and may leave validation empty, so "
                "its validation set cannot be folded into training; give it grows=False, as another workload."
            )
        learned = 1.0 - (datasets.test or 0.0)
        share = learned / max(2, num_examples)
        return replace(datasets, train=learned - share, validation=share)
    if not isinstance(datasets, Mapping):
        raise SpecError("Folding: training and validation examples are needed, but there are none; return them.")
    return {**datasets, "train": _both(datasets["train"], datasets["validation"])}


def _both(train: object, validation: object) -> object:
    match train, validation:
        case pa.Table(), pa.Table():
            return pa.concat_tables([train, validation])
        case ray.data.Dataset(), ray.data.Dataset():
            return train.union(validation)
        case ((str() | Path() | Files()), (str() | Path() | Files())):
            return _files(_as_files(train), _as_files(validation))
        case Mapping(), Mapping():
            return {
                name: np.concatenate([np.asarray(values), np.asarray(validation[name])])
                for name, values in train.items()
            }
    raise SpecError(
        "Folding: training and validation examples are joined where both are arrays, tables, files or Ray Datasets, "
        f"but they are {type(train).__name__} and {type(validation).__name__}; give both as the same."
    )


def _as_files(given: object) -> Files:
    return given if isinstance(given, Files) else Files(str(given))


def _files(train: Files, validation: Files) -> Files:
    if (train.format, train.columns) != (validation.format, validation.columns):
        raise SpecError(
            "Folding: files of training and validation are joined where format and columns are the same, but they are "
            f"{train.format!r} of {train.columns} and {validation.format!r} of {validation.columns}; give them alike."
        )
    uris = [*_uris(train), *_uris(validation)]
    skips = "skip" if "skip" in (train.on_unreadable, validation.on_unreadable) else "refuse"
    return Files(uris, train.format, train.columns, "skip" if skips == "skip" else "refuse")


def _uris(files: Files) -> list[str]:
    return [files.uris] if isinstance(files.uris, str) else [*files.uris]


def fixed_length(configuration: Configuration, trials: list[Trial]) -> tuple[Configuration, str]:
    """How long the last training takes, by what is known before it, and why.

    A schedule that decays is made for its length. At a constant learning rate the best step is worth stopping at: the
    median over the runs of the configuration, for a single run's is luck.
    """
    best = [each.best_step for each in trials if each.outcome is Outcome.COMPLETED and each.best_step]
    if configuration.values.get("schedule") != "constant" or not best:
        return configuration, "as launched, since the learning rate's decay is made for that length"
    steps = max(1, round(median(best)))
    interval = min(steps, configuration.evaluation_interval_steps)
    chosen = replace(configuration, max_train_steps=steps, evaluation_interval_steps=interval)
    return chosen, f"the median best step of {len(best)} runs of the configuration"
