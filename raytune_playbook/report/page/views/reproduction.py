"""How to get a round's numbers again, and on what they depend; of a round of another tool little of it is known."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import RoundRecord
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.study.wording import values_text


@dataclass(frozen=True)
class Fact:
    """Something that the numbers depend on; ``is_code`` is shown letter by letter."""

    term: str
    text: str
    is_code: bool = False


@dataclass(frozen=True)
class ReproductionView:
    """How to reproduce the round.

    Fields:
        command: which does it; None where none is known.
        facts: those that are known.
        uncommitted: whether the code had changes beside its commit.
        machines: that the trials ran on, each once.
        notes: that were taken; empty without any.
        origin: where another tool has recorded the trials; None for our own.
        inferred: sentences on what nobody said of them.
    """

    command: str | None
    facts: tuple[Fact, ...]
    uncommitted: bool
    machines: tuple[str, ...]
    notes: str
    origin: str | None
    inferred: tuple[str, ...]


def reproduction_view(reading: RoundReading, notes: str) -> ReproductionView:
    """How to get the same numbers again."""
    record = reading.record
    facts = [
        *_facts(record),
        *(Fact(f"fingerprint of {study.name}", study.fingerprint, True) for study in reading.studies),
    ]
    return ReproductionView(
        command=record.command or None,
        facts=tuple(fact for fact in facts if fact.text) if record.command and reading.origin is None else (),
        uncommitted=record.uncommitted,
        machines=tuple(dict.fromkeys(_machine_text(trial) for trial in reading.trials if trial.machine.torch)),
        notes=notes.strip(),
        origin=reading.origin,
        inferred=reading.inferred,
    )


def _facts(record: RoundRecord) -> list[Fact]:
    budget, workload = record.budget, record.workload
    return [
        Fact("commit", record.commit or "not under version control"),
        Fact("workload", f"{workload.module}.{workload.name}({values_text(workload.settings)})"),
        Fact("workload's source", workload.source_hash, True),
        Fact("job file", _job(record) or "none, a round of the Python API"),
        Fact(
            "budget",
            f"{budget.num_trials:,} trials of {budget.max_train_steps:,} steps, an evaluation every "
            f"{budget.evaluation_interval_steps:,}",
        ),
        Fact("workers per trial", str(record.resources.num_workers)),
        Fact("seed", str(record.seed)),
        Fact("versions", ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))),
        Fact("created", record.created_at),
        Fact("round's fingerprint", record.fingerprint, True),
    ]


def _job(record: RoundRecord) -> str | None:
    return record.part_of.job if record.part_of else record.job


def _machine_text(trial: Trial) -> str:
    machine = trial.machine
    workers = f"{machine.num_workers} x {machine.threads_per_worker} threads"
    return f"torch {machine.torch}, {machine.cpu_capability}, {machine.device}, {workers}"
