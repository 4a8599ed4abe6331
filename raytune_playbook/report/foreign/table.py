"""Trials in a table, one a row: a CSV or Parquet file, or what Python holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from raytune_playbook.errors import DataError, StorageFailure
from raytune_playbook.records.storage import Storage, first_line
from raytune_playbook.report.foreign.names import is_called_as_result
from raytune_playbook.report.foreign.recorded import Recorded, RecordedTrial, State, as_number, as_value, require_once
from raytune_playbook.report.foreign.roles import Roles
from raytune_playbook.study.closest import did_you_mean

Table: TypeAlias = str | Path | pa.Table | Mapping[str, Sequence[object]]
"""A file's path or URI, an Arrow table, or columns by name, as a pandas DataFrame is too; the NaN of a DataFrame stands
for what was not recorded, too, and is taken for that."""

_ABSENT = ["", "NA", "N/A", "n/a", "NULL", "null", "None", "none", "-"]
"""How a CSV file says that there is no value; NaN is one, which the objective of a trial that diverged has."""

_SEPARATORS = (",", ";", "\t")


def recorded_in_table(given: Table, roles: Roles) -> Recorded:
    """The trials in a table's rows, numbered from 0.

    Args:
        given: the table.
        roles: say which column is the objective. Other columns that are called as what a training comes to, such as
            ``train_loss``, are metrics, unless they have a role.

    Raises:
        DataError: it cannot be read, or two columns have one name.
    """
    table, origin, name = _table(given)
    columns: dict[str, list[object]] = {}
    for column, values in zip(table.column_names, table.columns, strict=True):
        require_once(column.strip(), columns)
        columns[column.strip()] = values.to_pylist()
    notes = []
    _require_objective(columns, roles, origin)
    if (unnamed := columns.pop("", None)) is not None:
        notes.append(f"The column without a name, of {len(unnamed):,} values, is left out.")
    for column in [each for each in columns if _is_time(table, each)]:
        del columns[column]
        notes.append(f"{column} is left out: it holds times.")
    metrics = [column for column, values in columns.items() if _is_metric(column, values, roles)]
    if others := [column for column in metrics if column != roles.objective]:
        notes.append(f"What trials came to, and no hyperparameters, are by name: {', '.join(others)}.")
    trials = tuple(_trial(row, columns, metrics) for row in range(table.num_rows))
    return Recorded(origin, name, trials, notes=tuple(notes))


def _require_objective(columns: Mapping[str, Sequence[object]], roles: Roles, origin: str) -> None:
    if roles.objective in columns:
        return
    numbers = [name for name, values in columns.items() if any(as_number(value) is not None for value in values)]
    if roles.objective is None:
        raise DataError(
            f"It must be known which column of the table trials are judged by; name one with --objective: of those "
            f"{origin}, {', '.join(numbers) or 'none'} have numbers."
        )
    advice = did_you_mean(roles.objective, columns, f"name one of {', '.join(numbers) or 'another table'}.")
    raise DataError(
        f"The objective must be a column of the table, but there is no {roles.objective!r} {origin}; {advice}"
    )


def _trial(row: int, columns: Mapping[str, Sequence[object]], metrics: Sequence[str]) -> RecordedTrial:
    values = {name: as_value(column[row]) for name, column in columns.items() if name not in metrics}
    measured = {name: number for name in metrics if (number := as_number(columns[name][row])) is not None}
    return RecordedTrial(row, f"row {row}", values, State.ENDED, measured)


def _is_metric(column: str, values: Sequence[object], roles: Roles) -> bool:
    there = [value for value in values if value is not None]
    are_numbers = bool(there) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in there)
    if column == roles.objective:
        if not are_numbers:
            raise DataError(
                f"The objective must be a column of numbers, but {column!r} holds "
                f"{'nothing' if not there else f'{there[0]!r}'}; name another, or mend it."
            )
        return True
    if column in (*roles.scientific, *roles.seeds, *roles.ignore, *roles.fixed, *roles.ranges):
        return False
    are_measured = any(isinstance(value, float) and math.isfinite(value) and not value.is_integer() for value in there)
    return are_numbers and are_measured and is_called_as_result(column)


def _is_time(table: pa.Table, column: str) -> bool:
    types = {name.strip(): type_ for name, type_ in zip(table.column_names, table.schema.types, strict=True)}
    return bool(pa.types.is_temporal(types[column]))


# ---------------------------------------------------------------------- reading


def _table(given: Table) -> tuple[pa.Table, str, str]:
    """The table, where it comes from, and what it is called."""
    if isinstance(given, str | Path):
        return _file(str(given))
    if isinstance(given, pa.Table):
        return given, "recorded in a table", "table"
    try:
        if hasattr(given, "columns"):  # a pandas DataFrame
            return pa.Table.from_pandas(given, preserve_index=False), "recorded in a table", "table"
        return (
            pa.table({str(name): pa.array(list(column)) for name, column in given.items()}),
            "recorded in a table",
            "table",
        )
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"Trials are read from a table with a column for each name, but got a {type(given).__name__} that is none "
            f"({first_line(error)}); give a file's path, an Arrow table or a DataFrame."
        ) from None


def _file(path: str) -> tuple[pa.Table, str, str]:
    folder, _, file = path.rpartition("/")
    try:
        content = Storage(folder or ("/" if path.startswith("/") else ".")).read(file) if file else None
    except StorageFailure as error:
        why = first_line(error.__cause__) if isinstance(error.__cause__, OSError) else "it is none"
        raise DataError(
            f"Trials are read from a file, but {path!r} is none that can be read ({why}); correct the path."
        ) from None
    if content is None:
        raise DataError(f"Trials are read from a file, but there is no file {path!r}; correct the path.")
    name = file.partition(".")[0] or file
    try:
        if content[:4] == b"PAR1":
            return pq.read_table(pa.BufferReader(content)), f"recorded in {file}", name
        return _csv(content), f"recorded in {file}", name
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"Trials are read from CSV or Parquet, but {path!r} is neither ({first_line(error)}); mend it, or name "
            "another file."
        ) from None


def _csv(content: bytes) -> pa.Table:
    if not content.strip():
        raise ValueError("it is empty")
    header = content.lstrip(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode()
    separator = max(_SEPARATORS, key=header.count)
    return pacsv.read_csv(
        BytesIO(content),
        parse_options=pacsv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(null_values=_ABSENT, strings_can_be_null=True),
    )
