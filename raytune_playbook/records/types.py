"""The records that a round leaves behind, and their form as rows of Arrow tables.

Legend of a trials table: one row per trial, hyperparameters in columns ``values.<name>``. Legend of a measurements
table: one row per (step, split), metrics in columns of their own name; ``gradient_norm`` and ``wait_s`` stand in
training rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, TypeAlias

import pyarrow as pa
from pydantic import Field

from raytune_playbook.study.spec import Budget, FrozenSpec, Objective, Resources, TrialSpec, Value
from raytune_playbook.study.study import WorkloadSpec

Outcome: TypeAlias = Literal["completed", "infeasible", "failed"]
"""How a trial ended; None in a record means that it has not."""

Role: TypeAlias = Literal["scientific", "nuisance", "fixed"]

VALUE_PREFIX = "values."

STEP_COLUMNS = ("loss", "gradient_norm", "learning_rate", "wait_s")
"""What is measured at every training step."""

TRAIN_STEPS_SPLIT = "step"
"""The split of rows that describe training steps; ``train`` and ``validation`` rows are evaluations."""


class RoundRecord(FrozenSpec):
    """What ``round.json`` holds: written before the first trial; only an extension changes it, by more trials.

    Fields beside the round's own: ``roles`` (hyperparameter -> role), ``caveats`` (rule SD3), ``warnings`` (rules of
    thumb that it goes against), ``studies`` (their names), ``job`` (the job file's path, None for a round of the Python
    API), ``command`` (reproduces it), ``commit`` (of the code; the uncommitted difference stands in
    ``uncommitted.diff``), ``versions`` (of what decides bits) and ``created_at`` (UTC).
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


class RoundStatus(FrozenSpec):
    """What ``status.json`` holds: rewritten by the driver while the round goes on.

    Fields:
        state: ``running``, ``finished``, ``stopped`` (to be resumed) or ``failed``.
        reason: one sentence, where it is neither running nor finished.
        driver: host and process that writes the records.
        seen_at_s: seconds since the epoch of the driver's last sign of life.
    """

    state: Literal["running", "finished", "stopped", "failed"]
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
    """The facts that a trial's bits depend on beside its specification (DESIGN decision 3)."""

    torch: str = ""
    cpu_capability: str = ""
    device: str = ""
    num_workers: int = 0
    threads_per_worker: int = 0
    hosts: tuple[str, ...] = ()

    def same_bits(self, other: Machine) -> bool:
        """Whether two machines give the same bits; host names do not matter."""
        return replace(self, hosts=()) == replace(other, hosts=())


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
        train_s, wait_s: seconds in all, and of waiting for data: those of the last attempt, and those of earlier ones
            up to the checkpoint from which it went on. What was lost after a checkpoint is not counted.
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
    ("wait_s", pa.float64()),
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
