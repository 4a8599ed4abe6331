"""Looking at what a round has trained, without a cluster."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.errors import StorageError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.trial import TrialSpec, trial_key
from raytune_playbook.train.group import Group
from raytune_playbook.train.model import TrialModel, initial_model
from raytune_playbook.train.saved.checkpoints import checkpoints_folder, kept_steps, read_weights
from raytune_playbook.train.workload import Values, Workload


def load_model(
    round: str | RoundStore,
    trial: str,
    *,
    storage: str = DEFAULT_STORAGE,
    step: int | None = None,
    workload: Workload | None = None,
) -> nn.Module:
    """A trial's model as one of its checkpoints holds it: in evaluation mode, on the CPU, in this process.

    Its batch norm has the running averages of all workers, as in the evaluation of that step (rule BN3).

    Args:
        round: a round's name, or its records.
        trial: ``"STUDY/INDEX"``, or ``"INDEX"`` where the round has one study.
        storage: folder or URI of the round, where it is given by name.
        step: of a checkpoint that is kept; None for the best, or of a trial that has not completed the latest.
        workload: what made the model; None for that of the job file from which the round was started.

    Raises:
        InputError: there is no such round, trial or checkpoint, or the workload makes another model.
    """
    store = RoundStore(Storage(storage), round) if isinstance(round, str) else round
    return load_kept(store, trial, step=step, workload=workload).model.module


@dataclass(frozen=True)
class KeptModel:
    """A trial's model of one step, under its workload."""

    spec: TrialSpec
    step: int
    model: TrialModel


def load_kept(store: RoundStore, trial: str, *, step: int | None = None, workload: Workload | None = None) -> KeptModel:
    """The same, with what it takes to ask it; raises as `load_model` does."""
    spec, best_step = recorded(store, trial)
    folder, checkpoints = checkpoints_folder(spec.study, spec.key), Storage(store.uri)
    if step is None and best_step is None and (kept := kept_steps(checkpoints, folder)):
        best_step = kept[-1]
    step = step if step is not None else best_step or 0
    weights = read_weights(checkpoints, folder, step)
    workload = workload or workload_of_job(store)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are none of ours
        model = initial_model(workload, spec, Values(spec.values), Group()).module
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise StorageError(
            f"A checkpoint is loaded into the model that was trained, but {type(workload).__name__} makes another for "
            f"{trial!r} of {store.uri!r} ({' '.join(str(error).split())[:200]}); use the code that trained it."
        ) from None
    return KeptModel(spec, step, TrialModel(workload, model.eval(), Values(spec.values), Group()))


def recorded(store: RoundStore, trial: str) -> tuple[TrialSpec, int | None]:
    """The trial's specification, and the step of its best checkpoint once it has completed."""
    study, key = store.trial_id(trial)
    (study_spec,) = (each for each in store.studies() if each.name == study)
    table = store.trials(study)
    columns = ("index", "repeat", "best_checkpoint_step", "checkpoints_deleted")  # which older records lack
    for row in table.select([name for name in columns if name in table.column_names]).to_pylist():
        if trial_key(row["index"], row["repeat"]) == key:
            if row.get("checkpoints_deleted"):
                raise StorageError(
                    f"A model is loaded from a checkpoint that is kept, but those of {trial!r} of {store.uri!r} were "
                    "deleted, for better trials' to have room within Budget.max_checkpoint_gib; name one of these, or "
                    "run the round under another name with more room."
                )
            return suggest(study_spec, row["index"], row["repeat"]), row["best_checkpoint_step"]
    raise StorageError(
        f"A trial must have begun before its model can be loaded, but {store.uri!r} has no record of {trial!r}; "
        "name one of its trials."
    )


def workload_of_job(store: RoundStore) -> Workload:
    """The workload of the job file that a round, or the procedure that it is part of, was started from."""
    record = store.round()
    job = record.part_of.job if record.part_of else record.job
    if job is None:
        raise StorageError(
            f"Round {store.name!r} was started from Python, so its workload is there; pass it with workload=..."
        )
    return workload_of(load_job(job).round)
