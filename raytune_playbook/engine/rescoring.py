"""Kept models on all validation examples, where periodic evaluation scored a sample of them (rule EV8)."""

from __future__ import annotations

import pyarrow as pa
import torch

from raytune_playbook.data.batches import SharedBatches
from raytune_playbook.data.share import read
from raytune_playbook.engine.checks import datasets_of
from raytune_playbook.engine.inspection import load_model, recorded, workload_of_job
from raytune_playbook.errors import StorageError
from raytune_playbook.records.store import RoundStore, Storage
from raytune_playbook.records.types import measurements_table
from raytune_playbook.study.evaluation_settings import FULL_VALIDATION
from raytune_playbook.train.checkpoints import checkpoints_folder, kept_steps
from raytune_playbook.train.evaluation import WEIGHT, rescore
from raytune_playbook.train.group import Group
from raytune_playbook.train.workload import Values, Workload


def rescore_trial(
    round: str | RoundStore, trial: str, *, storage: str = "rounds", workload: Workload | None = None
) -> pa.Table:
    """Score every checkpoint that a trial keeps on all validation examples, in this process.

    `analysis.evaluation_sample.best_on_all` then says which of them is best. Examples in Parquet files are read by Ray
    Data.

    Args:
        round, trial, storage, workload: as for `load_model`.

    Returns:
        Measurements of the split ``validation_full``, a row per checkpoint.

    Raises:
        InputError: there is no such round, trial or checkpoint, or the workload makes another model.
    """
    store = RoundStore(Storage(storage), round) if isinstance(round, str) else round
    workload = workload or workload_of_job(store)
    spec, _ = recorded(store, trial)
    steps = kept_steps(Storage(store.uri), checkpoints_folder(spec.study, spec.key))
    if not steps:
        raise StorageError(f"A trial is rescored by its checkpoints, but {trial!r} of {store.uri!r} keeps none.")
    values, datasets = Values(spec.values), datasets_of(workload)
    data = SharedBatches(
        {split: read(split, datasets[split]) for split in ("train", "validation")},
        trial=spec,
        batch_size=values.int("batch_size"),
        rank=0,
        num_workers=1,
        device=torch.device("cpu"),
        weight_column=WEIGHT,
    )
    models = ((step, load_model(store, trial, step=step, workload=workload)) for step in steps)
    return measurements_table(
        rescore(workload, models, lambda: data.evaluation_batches(FULL_VALIDATION), values, Group())
    )
