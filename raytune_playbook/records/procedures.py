"""What the playbook's procedures came to: each run of one leaves a record with its round, and none is ever rewritten.

``<round>/procedures/<procedure>/<number>.json``. A record holds what it shows (sentences, tables and plots as plain
data), so that a page needs nothing of the procedure to show it, and what it is bound to, so that a reader can tell
whether it still holds. A procedure of a job file may leave one before the round itself has begun.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from raytune_playbook.errors import InputError
from raytune_playbook.records.creation import create_if_absent
from raytune_playbook.records.storage import first_line
from raytune_playbook.records.store import Readable, RoundStore
from raytune_playbook.study.frozen import FrozenSpec

FOLDER = "procedures"

AxisScale: TypeAlias = Literal["linear", "log"]


def _finite(value: JsonValue) -> JsonValue:
    """A number that is not finite is none: JSON has no other word for it, and a plot no place."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number: TypeAlias = Annotated[float | None, BeforeValidator(_finite)]

Cell: TypeAlias = str | int | float | bool | None
"""Of a table; None is a dash, a number is written as everywhere else, True and False are yes and no."""


class ShownTable(FrozenSpec):
    """A table as it is shown.

    Fields:
        title: what it holds, in a few words.
        columns: the heads, units included.
        rows: of as many cells each.
        leading: the numbers of rows that stand out, such as what is recommended.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Annotated[Cell, BeforeValidator(_finite)], ...], ...]
    leading: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _is_rectangular(self) -> Self:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"each row of a table has a cell for each of its {len(self.columns)} columns")
        return self


class ShownSeries(FrozenSpec):
    """Points of one plot that belong together.

    Fields:
        name: in the legend.
        x, y: of shape (num_points,); a y of None, or that is not finite, is a gap.
        low, high: of shape (num_points,), where each y has an interval; else empty.
        style: how they are drawn.
        is_reference: what the others are to be compared with, such as perfect scaling: drawn dashed and grey.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[Number, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    style: Literal["line", "points", "both", "bars"] = "both"
    is_reference: bool = False

    @model_validator(mode="after")
    def _has_points(self) -> Self:
        if len(self.y) != len(self.x) or not {len(self.low), len(self.high)} <= {0, len(self.x)}:
            raise ValueError("each x of a series has a y, and an interval where any has one")
        if len(self.low) != len(self.high):
            raise ValueError("an interval has two ends")
        return self


class ShownLine(FrozenSpec):
    """A straight line across a plot, upright at an x or level at a y, with what it means."""

    text: str
    x: float | None = None
    y: float | None = None


class ShownPlot(FrozenSpec):
    """A plot as it is drawn.

    Fields:
        title: above it.
        label: what it shows in a sentence, for who does not see it.
    """

    title: str
    label: str
    x_name: str
    y_name: str
    x_scale: AxisScale = "linear"
    y_scale: AxisScale = "linear"
    series: tuple[ShownSeries, ...]
    lines: tuple[ShownLine, ...] = ()


class NextCommand(FrozenSpec):
    """What to do next: a sentence, and the command that does it where there is one."""

    sentence: str
    command: str | None = None


class ProcedureRecord(FrozenSpec):
    """One run of a procedure.

    Fields:
        procedure: the name of its command.
        round: whose it is: the round that it started from, or that its job file defines.
        workload: the workload's name.
        verdict: what it came to, in one sentence.
        is_good: whether that is as one would wish, such as a configuration that beats chance; None where it is
            neither good nor bad.
        sentences: what the verdict rests on, and what it leaves open.
        numbers: what other procedures and advice go on with, by name; None where one is not finite.
        bound_to: the facts that it holds for, by what they are facts of, such as ``model`` or ``hardware``.
        asked: a hash of the round that it was given, and of its objective: of another one the same command asks
            something else. None in records of older versions.
        rounds: names of the rounds that it ran, in the same storage.
        next: what to do next, first things first.
        command: reproduces it.
        commit: of the code; None where it is not known.
        ended_at: UTC, ISO 8601.
        number: of this run among those of the same procedure and round, from 1; given when it is written.
    """

    procedure: str
    round: str
    workload: str
    verdict: str
    is_good: bool | None = None
    sentences: tuple[str, ...] = ()
    numbers: dict[str, Annotated[JsonValue, BeforeValidator(_finite)]] = Field(default_factory=dict)
    tables: tuple[ShownTable, ...] = ()
    plots: tuple[ShownPlot, ...] = ()
    bound_to: dict[str, str] = Field(default_factory=dict)
    asked: str | None = None
    rounds: tuple[str, ...] = ()
    next: tuple[NextCommand, ...] = ()
    command: str
    commit: str | None = None
    ended_at: str
    number: int = 1

    def __repr__(self) -> str:
        return f"<ProcedureRecord {self.procedure} of {self.round!r}: {self.verdict}>"

    __str__ = __repr__


def write_procedure(store: RoundStore, record: ProcedureRecord) -> ProcedureRecord:
    """Add a record to those of its round, under the next number, and return it as it was written.

    Raises:
        StorageFailure: the storage cannot be written.
    """
    folder = f"{store.name}/{FOLDER}/{record.procedure}"
    with store.storage.failures_told("written", store.name):
        number = max((_number(file) for file in store.storage.files(folder)), default=0) + 1
        while True:
            numbered = record.model_copy(update={"number": number})
            content = json.dumps(numbered.model_dump(mode="json"), indent=2) + "\n"
            if create_if_absent(store.storage, f"{folder}/{number:05d}.json", content.encode()):
                return numbered
            number += 1


def readable_procedures(store: RoundStore) -> Readable[list[ProcedureRecord]]:
    """The newest record of each procedure of a round that can be read, the latest last."""
    found, broken = dict[str, ProcedureRecord](), list[str]()
    for procedure in store.storage.folders(f"{store.name}/{FOLDER}"):
        folder = f"{store.name}/{FOLDER}/{procedure}"
        for file in sorted(store.storage.files(folder), key=_number, reverse=True):
            content = store.storage.read(f"{folder}/{file}")
            if content is None or not _number(file):
                continue
            try:
                found[procedure] = ProcedureRecord.from_json(content)
                break
            except InputError as error:
                broken.append(
                    f"{folder}/{file} in {store.storage.uri!r} must hold a procedure's record, but does not "
                    f"({first_line(error)}); restore it."
                )
    return Readable(sorted(found.values(), key=lambda record: record.ended_at), tuple(broken))


def newest_procedure(store: RoundStore, procedure: str) -> ProcedureRecord | None:
    """The newest readable record of one procedure of a round."""
    return next((each for each in readable_procedures(store).found if each.procedure == procedure), None)


def all_of(store: RoundStore, procedure: str) -> list[ProcedureRecord]:
    """The records of all runs of one procedure of a round, as far as they can be read."""
    folder = f"{store.name}/{FOLDER}/{procedure}"
    contents = [store.storage.read(f"{folder}/{file}") for file in store.storage.files(folder) if _number(file)]
    found = list[ProcedureRecord]()
    for content in contents:
        with contextlib.suppress(InputError):
            found.append(ProcedureRecord.from_json(content or b""))
    return found


def rounds_of(store: RoundStore, procedure: str) -> frozenset[str]:
    """Names of the rounds that all runs of one procedure of a round have run, as far as their records can be read."""
    return frozenset(name for record in all_of(store, procedure) for name in record.rounds)


def stale_facts(record: ProcedureRecord, facts: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What a record is bound to and is otherwise by now: the fact as it was and as it is (rules BA9, AD1).

    Args:
        facts: as they are now; what is not among them is not known, and makes nothing stale.
    """
    return {
        name: (value, facts[name]) for name, value in record.bound_to.items() if name in facts and facts[name] != value
    }


def _number(file: str) -> int:
    stem, _, kind = file.partition(".")
    return int(stem) if stem.isdigit() and kind == "json" else 0
