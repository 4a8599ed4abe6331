"""The columns of every table of records, and records as rows of them: here is where a column's name stands.

A measurements table has one row per (step, split). Rows of training steps, whose split is `TRAIN_STEPS_SPLIT`, have
`STEP_COLUMNS`, their times being those of rank 0; rows of evaluations have metrics in columns of their own name, and
what `raytune_playbook.analysis.class_counts` and `raytune_playbook.analysis.evaluation_sample` call counts of classes
and standard errors. A trials table has one row per trial, hyperparameters in columns ``values.<name>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeAlias

import pyarrow as pa

from raytune_playbook.records.types import Outcome, TimeByPart, Training, TrialRecord
from raytune_playbook.study.frozen import Value

# ---------------------------------------------------------------------- measurements

MeasurementRow: TypeAlias = Mapping[str, float | int | str | None]
"""One row of a measurements table, by column."""

STEP, SPLIT = "step", "split"

TRAIN_STEPS_SPLIT = "step"
"""The split of rows that describe training steps; ``train`` and ``validation`` rows are evaluations."""

LOSS = "loss"
GRADIENT_NORM = "gradient_norm"
"""The L2 norm of the full gradient before it is clipped (rule UN2)."""
LEARNING_RATE = "learning_rate"

TIME_COLUMNS = tuple(field.name for field in fields(TimeByPart))
"""Where a training step's time goes (rule PI1). They are no part of what a trial's bits are."""

STEP_COLUMNS = (LOSS, GRADIENT_NORM, LEARNING_RATE, *TIME_COLUMNS)
"""What is measured at every training step, in the order in which a checkpoint holds it."""


def average_split(split: str) -> str:
    """The split of an evaluation of the averaged weights, beside that of the raw ones (rule SC3)."""
    return f"{split}_average"


def measurements_table(rows: Sequence[MeasurementRow]) -> pa.Table:
    """Measurements as a table of shape (num_rows, num_columns); a metric that a row lacks is null there."""
    metrics = sorted({name for row in rows for name in row} - {STEP, SPLIT})
    columns = {
        STEP: pa.array([row[STEP] for row in rows], pa.int64()),
        SPLIT: pa.array([row[SPLIT] for row in rows], pa.string()),
    }
    return pa.table(columns | {name: pa.array([row.get(name) for row in rows], pa.float64()) for name in metrics})


def why_no_measurements(table: pa.Table) -> str | None:
    """Why a table that was read cannot be a measurements table; None where it is one."""
    for name in (STEP, SPLIT):
        if name not in table.column_names:
            return f"it has no column {name!r}"
        if table[name].null_count:
            return f"column {name!r} has gaps"
    for field in table.schema:
        wanted = {STEP: pa.int64(), SPLIT: pa.string()}.get(field.name, pa.float64())
        if not _is_like(field.type, wanted):
            return f"column {field.name!r} holds {field.type}"
    return _twice(table)


def _twice(table: pa.Table) -> str | None:
    names = table.column_names
    return None if len(names) == len(set(names)) else "two of its columns have one name"


def _is_like(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column of one type holds nothing but what one of the other may; a struct may lack fields."""
    if pa.types.is_null(given):
        return True
    if pa.types.is_list(wanted) or pa.types.is_map(wanted):
        return given.id == wanted.id and all(
            _is_like(given.field(i).type, wanted.field(i).type) for i in range(wanted.num_fields)
        )
    if pa.types.is_struct(wanted):
        fields_of = {wanted.field(i).name: wanted.field(i).type for i in range(wanted.num_fields)}
        return given.id == wanted.id and all(
            each.name in fields_of and _is_like(each.type, fields_of[each.name]) for each in given
        )
    if pa.types.is_floating(wanted):
        return bool(pa.types.is_floating(given) or pa.types.is_integer(given))
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(given))
    return bool(given == wanted)


# ---------------------------------------------------------------------- trials

VALUE_PREFIX = "values."

_TIMES = [(name, pa.float64()) for name in TIME_COLUMNS]
_TRAINING: list[tuple[str, pa.DataType]] = [
    ("best_checkpoint_step", pa.int64()),
    ("num_steps", pa.int64()),
    ("num_parameters", pa.int64()),
    ("peak_memory_bytes", pa.int64()),
    ("train_s", pa.float64()),
    *_TIMES,
    ("evaluations_s", pa.float64()),
    ("stages", pa.map_(pa.string(), pa.float64())),
]
_TRAINING_FIELDS = tuple(field.name for field in fields(Training))
_ATTEMPT = pa.struct(
    [
        ("number", pa.int32()),
        ("gang", pa.string()),
        ("started_at", pa.string()),
        ("ended", pa.string()),
        ("traceback", pa.string()),
        ("first_step", pa.int64()),
        ("source_hash", pa.string()),
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
_TRIAL: list[tuple[str, pa.DataType]] = [
    ("study", pa.string()),
    ("index", pa.int64()),
    ("repeat", pa.int32()),
    ("outcome", pa.string()),
    ("reason", pa.string()),
    ("objective", pa.float64()),
    ("best_step", pa.int64()),
    *_TRAINING,
    ("checkpoint_bytes", pa.int64()),
    ("checkpoints_deleted", pa.bool_()),
    ("attempts", pa.list_(_ATTEMPT)),
    ("machine", _MACHINE),
]


def trials_table(records: Sequence[TrialRecord]) -> pa.Table:
    """Trials as a table of shape (num_trials, num_columns); trials of several studies may be mixed."""
    rows = [_trial_row(record) for record in records]
    columns = {name: pa.array([row[name] for row in rows], type=type_) for name, type_ in _TRIAL}
    names = dict.fromkeys(name for record in records for name in record.spec.values)
    for name in names:
        columns[VALUE_PREFIX + name] = _value_column([record.spec.values.get(name) for record in records])
    return pa.table(columns)


_ALWAYS_THERE = ("study", "index", "repeat", "outcome", "num_steps", "attempts", "machine")
_WITHOUT_GAPS = ("study", "index", "repeat", "machine")


def why_no_trials(table: pa.Table) -> str | None:
    """Why a table that was read cannot be a trials table, of this version or an older one; None where it is one."""
    for name in _ALWAYS_THERE:
        if name not in table.column_names:
            return f"it has no column {name!r}"
        if name in _WITHOUT_GAPS and table[name].null_count:
            return f"column {name!r} has gaps"
    known = dict(_TRIAL)
    for field in table.schema:
        if field.name in known and not _is_like(field.type, known[field.name]):
            return f"column {field.name!r} holds {field.type}"
        if field.name.startswith(VALUE_PREFIX) and pa.types.is_nested(field.type):
            return f"column {field.name!r} holds {field.type}"
    if unknown := set(table["outcome"].to_pylist()) - {None, *map(str, Outcome)}:
        return f"{unknown.pop()!r} is no outcome"
    if any(index < 0 for name in ("index", "repeat") for index in table[name].to_pylist()):
        return "a trial's number is negative"
    return _twice(table)


def training_of(row: Mapping[str, Any]) -> Training | None:
    """What a row of a trials table says of the trial's training; None where it has not ended, or failed.

    Rows of older versions lack some columns, and then the time by part is not known.
    """
    if row["num_steps"] is None:
        return None
    times: dict[str, Any] = {name: row.get(name) for name in TIME_COLUMNS}
    known: dict[str, Any] = {name: row.get(name) for name in _TRAINING_FIELDS}
    known["time_by_part"] = None if None in times.values() else TimeByPart(**times)
    known["stages"] = dict(row.get("stages") or ())
    return Training(**known)


def _trial_row(record: TrialRecord) -> dict[str, object]:
    plain = {name: getattr(record, name, None) for name, _ in _TRIAL}
    return plain | {
        "study": record.spec.study,
        "index": record.spec.index,
        "repeat": record.spec.repeat,
        **_training_columns(record.training),
        "attempts": [asdict(attempt) for attempt in record.attempts],
        "machine": asdict(record.machine),
    }


def _training_columns(training: Training | None) -> dict[str, object]:
    """A trial's training as `training_of` reads it."""
    times = None if training is None else training.time_by_part
    columns: dict[str, object] = {name: getattr(training, name, None) for name, _ in _TRAINING}
    columns |= {name: getattr(times, name, None) for name in TIME_COLUMNS}
    return columns | {"stages": {} if training is None else dict(training.stages)}


def value_type(values: Sequence[Value]) -> pa.DataType:
    """The type of a column that holds all of these values of one hyperparameter."""
    return _value_column(values).type


def _value_column(values: Sequence[Value]) -> pa.Array:
    types = {type(value) for value in values} - {type(None)}
    if not types:
        return pa.nulls(len(values))
    if types <= {bool}:
        return pa.array(values, pa.bool_())
    if types <= {int}:
        return pa.array(values, pa.int64())
    if types <= {int, float}:
        return pa.array(values, pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
