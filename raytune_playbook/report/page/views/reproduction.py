"""How to get a round's numbers again, and on what they depend."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import values_text
from raytune_playbook.report.reading import RoundReading


@dataclass(frozen=True)
class StudyFingerprint:
    """A study's name and fingerprint."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class ReproductionView:
    """How to reproduce the round.

    Fields:
        command: which does it.
        commit: None where the code is not under version control.
        uncommitted: whether there were changes beside it.
        workload, source_hash: what was trained, with its settings, and its code's hash.
        job: the job file; None for a round of the Python API.
        budget, versions: in words.
        machines: that the trials ran on, each once.
        fingerprint, studies: of the round and of its studies.
        notes: that were taken; empty without any.
    """

    command: str
    commit: str | None
    uncommitted: bool
    workload: str
    source_hash: str
    job: str | None
    budget: str
    num_workers: int
    seed: int
    versions: str
    machines: tuple[str, ...]
    fingerprint: str
    studies: tuple[StudyFingerprint, ...]
    created_at: str
    notes: str


def reproduction_view(reading: RoundReading, notes: str) -> ReproductionView:
    """How to get the same numbers again."""
    record, budget = reading.record, reading.record.budget
    workload = record.workload
    return ReproductionView(
        command=record.command,
        commit=record.commit or None,
        uncommitted=record.uncommitted,
        workload=f"{workload.module}.{workload.name}({values_text(workload.settings)})",
        source_hash=workload.source_hash,
        job=record.job or None,
        budget=f"{budget.num_trials:,} trials of {budget.max_train_steps:,} steps, an evaluation every "
        f"{budget.evaluation_interval_steps:,}",
        num_workers=record.resources.num_workers,
        seed=record.seed,
        versions=", ".join(f"{name} {version}" for name, version in sorted(record.versions.items())),
        machines=tuple(dict.fromkeys(_machine_text(trial) for trial in reading.trials if trial.machine.torch)),
        fingerprint=record.fingerprint,
        studies=tuple(StudyFingerprint(study.name, study.fingerprint) for study in reading.studies),
        created_at=record.created_at,
        notes=notes.strip(),
    )


def _machine_text(trial: Trial) -> str:
    machine = trial.machine
    workers = f"{machine.num_workers} x {machine.threads_per_worker} threads"
    return f"torch {machine.torch}, {machine.cpu_capability}, {machine.device}, {workers}"
