"""The records that a round leaves behind, and their form as rows of Arrow tables.

Legend of a trials table: one row per trial, hyperparameters in columns ``values.<name>``. Legend of a measurements
table: one row per (step, split), metrics in columns of their own name; `STEP_COLUMNS` stand in training rows, their
times being those of rank 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Literal, TypeAlias

import pyarrow as pa
from pydantic import Field

from raytune_playbook.study.frozen import FrozenSpec, Value
from raytune_playbook.study.settings import Budget, Objective, Resources
from raytune_playbook.study.study import WorkloadSpec
from raytune_playbook.study.trial import TrialSpec

Outcome: TypeAlias = Literal["completed", "infeasible", "failed"]
"""How a trial ended; None in a record means that it has not."""

Role: TypeAlias = Literal["scientific", "nuisance", "fixed"]

VALUE_PREFIX = "values."

TIME_COLUMNS = ("wait_s", "transfer_s", "sync_s", "augment_s", "compute_s")
"""Where a training step's time goes: waiting for data, copying it to the device, collectives between workers, random
augmentation, and computing, which is the rest (rule PI1). They are no part of what a trial's bits are."""

STEP_COLUMNS = ("loss", "gradient_norm", "learning_rate", *TIME_COLUMNS)
"""What is measured at every training step; times in a row are those of rank 0."""

PIPELINE_STAGES = ("read", "remote read", "decode", "shuffle", "collate", "transfer")
"""What the input pipeline is busy with to make training batches."""

TRAIN_STEPS_SPLIT = "step"
"""The split of rows that describe training steps; ``train`` and ``validation`` rows are evaluations."""


class ExamplesRecord(FrozenSpec):
    """What a round trained on, and how it got there.

    Fields:
        mode: ``materialized`` (in memory, one copy per node) or ``streaming`` (read anew every epoch).
        sources: by split, where the examples came from; ``all`` where a `Split` divided them.
        num_examples, num_bytes: by split, preprocessed; of what is streamed an estimate of the bytes.
        skipped: a sentence for each file or part that could not be read and was left out, as the user allowed.
        overlaps: a sentence for each two splits that hold equal examples; None where that was not looked for.
        window_examples, window_bytes: of streaming; the bytes are an estimate.
        stream_bytes: the most memory that one gang's stream takes, estimated from them.
        pipeline_cpus: whole CPUs for reading and preprocessing, beside the gangs.
        preprocessed: where examples that were preprocessed before are stored; None where they were not.
        read_s: seconds that reading took; 0 where an earlier round of the session had done it.
    """

    mode: Literal["materialized", "streaming"]
    sources: dict[str, str]
    num_examples: dict[str, int]
    num_bytes: dict[str, int]
    skipped: tuple[str, ...] = ()
    overlaps: tuple[str, ...] | None = ()
    window_examples: int | None = None
    window_bytes: int | None = None
    stream_bytes: int | None = None
    pipeline_cpus: int = 1
    preprocessed: str | None = None
    read_s: float = 0.0


class RoundRecord(FrozenSpec):
    """What ``round.json`` holds: written before the first trial; only an extension changes it, by more trials.

    Fields beside the round's own: ``roles`` (hyperparameter -> role), ``caveats`` (rule SD3), ``warnings`` (rules of
    thumb that it goes against), ``studies`` (their names), ``job`` (the job file's path, None for a round of the Python
    API), ``command`` (reproduces it), ``commit`` (of the code; the uncommitted difference stands in
    ``uncommitted.diff``), ``versions`` (of what decides bits), ``created_at`` (UTC) and ``examples`` (None in rounds of
    earlier versions).
    """

    name: str
    goal: str
    roles: dict[str, Role]
    reasons: dict[str, str]
    caveats: list[str]
    warnings: list[str]
    objective: Objective
    budget: Budget
    resources: Resources
    seed: int
    fingerprint: str
    workload: WorkloadSpec
    studies: list[str]
    job: str | None
    command: str
    commit: str | None
    uncommitted: bool
    versions: dict[str, str]
    created_at: str
    examples: ExamplesRecord | None = None


class RoundState(StrEnum):
    """How a round stands; a stopped one is to be resumed."""

    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


class RoundStatus(FrozenSpec):
    """What ``status.json`` holds: rewritten by the driver while the round goes on.

    Fields:
        reason: one sentence, where it is neither running nor finished.
        driver: host and process that writes the records.
        seen_at_s: seconds since the epoch of the driver's last sign of life.
    """

    state: RoundState
    reason: str = ""
    driver: str
    seen_at_s: float
    num_done: int = Field(ge=0)
    num_trials: int = Field(ge=0)


@dataclass(frozen=True)
class Attempt:
    """One try at a trial; written before it starts, so that a crash leaves its trace.

    Fields:
        number: from 1.
        gang: the gang that ran it.
        started_at: UTC, ISO 8601.
        ended: None while it runs; then how it ended in a word or two, such as ``completed`` or ``node lost``.
        first_step: how many steps had been trained when it began: 0, or its checkpoint's; None while it is not known,
            as of an attempt that was lost.
        traceback: of an attempt that failed.
    """

    number: int
    gang: str
    started_at: str
    ended: str | None = None
    traceback: str | None = None
    first_step: int | None = None


@dataclass(frozen=True)
class Machine:
    """The facts that a trial's bits depend on beside its specification (DESIGN decision 3), and where it ran.

    Fields:
        hosts, cores: of each worker in the order of ranks: the name of its host, and how many cores it may use there.
    """

    torch: str = ""
    cpu_capability: str = ""
    device: str = ""
    num_workers: int = 0
    threads_per_worker: int = 0
    hosts: tuple[str, ...] = ()
    cores: tuple[int, ...] = ()

    def same_bits(self, other: Machine) -> bool:
        """Whether two machines give the same bits; host names and numbers of cores do not matter."""
        return replace(self, hosts=(), cores=()) == replace(other, hosts=(), cores=())


@dataclass(frozen=True)
class TrialRecord:
    """One trial, running or ended.

    Fields:
        outcome: None until the trial has ended for good.
        reason: why it is infeasible, in words that begin with the kind of reason (rule IN3).
        objective: the objective's value by the study's own objective; None unless completed.
        best_step: the step at which the metric was best.
        best_checkpoint_step: of the best checkpoint that is kept; ``best_step`` unless checkpoints are rarer than
            evaluations (rule CK3).
        num_steps: steps whose effect the trained model holds, whichever attempt made them.
        num_parameters: of the model.
        train_s: seconds in all: those of the last attempt, and those of earlier ones up to the checkpoint from which
            it went on. What was lost after a checkpoint is not counted, here and in all that follow.
        wait_s, transfer_s, sync_s, augment_s, compute_s: what the training steps took, by part (`TIME_COLUMNS`), on
            the worker that waited longest for its batches: in its collectives the others wait for it.
        evaluations_s: what all evaluations took.
        stages: what that worker's input pipeline was busy with, in seconds by one of `PIPELINE_STAGES`.
    """

    spec: TrialSpec
    outcome: Outcome | None = None
    reason: str | None = None
    objective: float | None = None
    best_step: int | None = None
    best_checkpoint_step: int | None = None
    num_steps: int | None = None
    num_parameters: int | None = None
    train_s: float | None = None
    wait_s: float | None = None
    transfer_s: float | None = None
    sync_s: float | None = None
    augment_s: float | None = None
    compute_s: float | None = None
    evaluations_s: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    machine: Machine = field(default_factory=Machine)

    @property
    def tracebacks(self) -> list[str]:
        """Of every attempt that failed."""
        return [attempt.traceback for attempt in self.attempts if attempt.traceback]


_ATTEMPT = pa.struct(
    [
        ("number", pa.int32()),
        ("gang", pa.string()),
        ("started_at", pa.string()),
        ("ended", pa.string()),
        ("traceback", pa.string()),
        ("first_step", pa.int64()),
    ]
)
_MACHINE = pa.struct(
    [
        ("torch", pa.string()),
        ("cpu_capability", pa.string()),
        ("device", pa.string()),
        ("num_workers", pa.int32()),
        ("threads_per_worker", pa.int32()),
        ("hosts", pa.list_(pa.string())),
        ("cores", pa.list_(pa.int32())),
    ]
)
_TRIAL_FIELDS: list[tuple[str, pa.DataType]] = [
    ("study", pa.string()),
    ("index", pa.int64()),
    ("repeat", pa.int32()),
    ("outcome", pa.string()),
    ("reason", pa.string()),
    ("objective", pa.float64()),
    ("best_step", pa.int64()),
    ("best_checkpoint_step", pa.int64()),
    ("num_steps", pa.int64()),
    ("num_parameters", pa.int64()),
    ("train_s", pa.float64()),
    *((name, pa.float64()) for name in TIME_COLUMNS),
    ("evaluations_s", pa.float64()),
    ("stages", pa.map_(pa.string(), pa.float64())),
    ("attempts", pa.list_(_ATTEMPT)),
    ("machine", _MACHINE),
]


def trials_table(records: Sequence[TrialRecord]) -> pa.Table:
    """Trials as a table of shape (num_trials, num_columns); trials of several studies may be mixed."""
    rows = [_row(record) for record in records]
    columns = {name: pa.array([row[name] for row in rows], type=type_) for name, type_ in _TRIAL_FIELDS}
    names = dict.fromkeys(name for record in records for name in record.spec.values)
    for name in names:
        columns[VALUE_PREFIX + name] = _value_column([record.spec.values.get(name) for record in records])
    return pa.table(columns)


def measurements_table(rows: Sequence[Mapping[str, float | int | str | None]]) -> pa.Table:
    """Measurements as a table of shape (num_rows, num_columns); a metric that a row lacks is null there."""
    metrics = sorted({name for row in rows for name in row} - {"step", "split"})
    columns = {
        "step": pa.array([row["step"] for row in rows], pa.int64()),
        "split": pa.array([row["split"] for row in rows], pa.string()),
    }
    return pa.table(columns | {name: pa.array([row.get(name) for row in rows], pa.float64()) for name in metrics})


def _row(record: TrialRecord) -> dict[str, object]:
    fields = {name: getattr(record, name, None) for name, _ in _TRIAL_FIELDS}
    return fields | {
        "study": record.spec.study,
        "index": record.spec.index,
        "repeat": record.spec.repeat,
        "stages": dict(record.stages),
        "attempts": [asdict(attempt) for attempt in record.attempts],
        "machine": asdict(record.machine),
    }


def _value_column(values: Sequence[Value]) -> pa.Array:
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    if kinds <= {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {int}:
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array(values, pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
