"""What the playbook's procedures came to for a round: a section for each, the latest last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from raytune_playbook.analysis.wording import ABSENT, count_text, number_text
from raytune_playbook.records.procedures import Cell, NextCommand, ProcedureRecord, ShownTable
from raytune_playbook.report.figures.plot import Plot
from raytune_playbook.report.figures.procedure import procedure_figure


@dataclass(frozen=True)
class TableView:
    """A table with its cells as text.

    Fields:
        numeric: of each column, whether it holds numbers.
        leading: of each row, whether it stands out.
    """

    title: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    leading: tuple[bool, ...]


@dataclass(frozen=True)
class ProcedureView:
    """A procedure's section.

    Fields:
        tone: ``good``, ``bad`` or ``neutral``.
        stale: a sentence for each fact that has changed since, which the record is bound to.
        rounds: that it ran, with where their pages are from this one.
        bound_to: what it holds for, in a line.
        when: it ended.
    """

    anchor: str
    title: str
    verdict: str
    tone: str
    stale: tuple[str, ...]
    sentences: tuple[str, ...]
    tables: tuple[TableView, ...]
    plots: tuple[Plot, ...]
    next: tuple[NextCommand, ...]
    rounds: tuple[tuple[str, str], ...]
    bound_to: str
    command: str
    when: str


@dataclass(frozen=True)
class ProceduresView:
    """All procedures of a round."""

    procedures: tuple[ProcedureView, ...]

    @property
    def plots(self) -> tuple[Plot, ...]:
        """Of all of them."""
        return tuple(plot for procedure in self.procedures for plot in procedure.plots)


def procedures_view(found: Sequence[tuple[ProcedureRecord, Mapping[str, tuple[str, str]]]]) -> ProceduresView | None:
    """The sections of procedures; None where a round has none.

    Args:
        found: each record with what it is bound to and is otherwise by now, as `stale_facts` says it.
    """
    return ProceduresView(tuple(_view(record, stale) for record, stale in found)) if found else None


def procedure_anchor(procedure: str) -> str:
    """Where on the page of its round the section of a procedure is."""
    return f"procedure-{procedure}"


def _view(record: ProcedureRecord, stale: Mapping[str, tuple[str, str]]) -> ProcedureView:
    anchor = procedure_anchor(record.procedure)
    return ProcedureView(
        anchor=anchor,
        title=record.procedure,
        verdict=record.verdict,
        tone={True: "good", False: "bad", None: "neutral"}[record.is_good],
        stale=tuple(stale_sentences(stale)),
        sentences=record.sentences,
        tables=tuple(table_view(table) for table in record.tables),
        plots=tuple(
            Plot(f"{anchor}-{place}", plot.title, plot.label, procedure_figure(plot))
            for place, plot in enumerate(record.plots)
        ),
        next=record.next,
        rounds=tuple((name, f"../../{quote(name)}/report/index.html") for name in record.rounds),
        bound_to=", ".join(f"{name}: {value}" for name, value in record.bound_to.items()),
        command=record.command,
        when=f"{record.ended_at[:16].replace('T', ' ')} UTC",
    )


def stale_sentences(stale: Mapping[str, tuple[str, str]]) -> list[str]:
    """What has changed since a procedure ran."""
    return [
        f"This was measured with another {name} ({was}; now {now}), so it may not hold any more: run it again."
        for name, (was, now) in stale.items()
    ]


def table_view(table: ShownTable) -> TableView:
    """A table with its cells as text, the same on the page and in the terminal."""
    columns = range(len(table.columns))
    return TableView(
        title=table.title,
        columns=table.columns,
        numeric=tuple(any(_is_number(row[column]) for row in table.rows) for column in columns),
        rows=tuple(tuple(cell_text(cell) for cell in row) for row in table.rows),
        leading=tuple(number in table.leading for number in range(len(table.rows))),
    )


def cell_text(cell: Cell) -> str:
    """A cell as text."""
    match cell:
        case None:
            return ABSENT
        case bool():
            return "yes" if cell else "no"
        case int():
            return count_text(cell)
        case float():
            return number_text(cell)
        case _:
            return cell


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)
