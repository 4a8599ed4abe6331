"""Rounds on disk as they are left behind, without a training."""

from __future__ import annotations

from pathlib import Path

from raytune_playbook import Budget, Float, Objective, Resources, Round
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.jobs.provenance import provenance_of, round_record
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import ExamplesRecord, Outcome, RoundState, RoundStatus, Training, TrialRecord
from raytune_playbook.search.suggest import suggest
from raytune_playbook.workloads.tabular import BreastCancer


def a_round(name: str = "first", **fields: object) -> Round:
    """A small round of one study."""
    return Round(
        **{
            "name": name,
            "goal": "Which learning rate?",
            "workload": BreastCancer(),
            "nuisance": {"learning_rate": Float(0.02, 1.0, scale="log")},
            "objective": Objective(metric="error"),
            "budget": Budget(num_trials=4, max_train_steps=40, evaluation_interval_steps=10),
            "resources": Resources(num_gangs=1),
            **fields,
        }
    )


def record(round_: Round, storage: Storage, *, job: Job | None = None, num_validation: int = 122) -> RoundStore:
    """Write what a round leaves behind whose trial 2 is the best."""
    counts = {"train": 327, "validation": num_validation, "test": 120}
    examples = ExamplesRecord(
        mode="materialized", sources=dict.fromkeys(counts, "arrays"), num_examples=counts, num_bytes=counts
    )
    store = RoundStore(storage, round_.name)
    store.create(round_record(round_, provenance_of(job, storage.uri), examples), round_.studies, notes="", diff="")
    for study in round_.studies:
        for index in range(study.num_trials):
            write_trial(store, round_, index, 0, 0.03 if index == 2 else 0.1)
    store.write_status(RoundStatus(state=RoundState.FINISHED, driver="here/1", seen_at_s=0, num_done=4, num_trials=4))
    return store


def write_trial(store: RoundStore, round_: Round, index: int, repeat: int, value: float) -> None:
    """Add a completed trial, or a retraining."""
    training = Training(num_steps=40, num_parameters=2, train_s=0.1)
    spec = suggest(round_.studies[0], index, repeat)
    store.write_trial(TrialRecord(spec, Outcome.COMPLETED, None, value, 20, training))


def job_file(folder: Path, name: str) -> Path:
    """A job file that defines the round of `a_round`."""
    path = folder / f"{name}.py"
    path.write_text(f"from tests.procedures.launch.recorded import a_round\n\nround = a_round({name!r})\n")
    return path
