"""What a procedure came to, for the terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from raytune_playbook.records.procedures import ProcedureRecord, ShownTable
from raytune_playbook.report.page.views.procedures import table_view

_TONES = {True: "bold green", False: "bold yellow", None: "bold"}


def print_procedure(console: Console, record: ProcedureRecord) -> None:
    """Print a procedure's tables, its verdict and what that rests on, and what to do next."""
    console.print(_shown(record), soft_wrap=True)
    for each in record.next:  # a command must be one line, to be copied
        console.print(Text(each.sentence), soft_wrap=True)
        if each.command:
            console.print(Text(f"  {each.command}"), soft_wrap=True)


def _shown(record: ProcedureRecord) -> RenderableType:
    tables: list[RenderableType] = [
        part for table in record.tables for part in (Text(f"{table.title}:"), _table(table))
    ]
    sentences = [Text(f"  {sentence}") for sentence in record.sentences]
    return Group(*tables, Text(record.verdict, style=_TONES[record.is_good]), *sentences)


def _table(table: ShownTable) -> Table:
    view = table_view(table)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name, is_number in zip(view.columns, view.numeric, strict=True):
        shown.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row, is_leading in zip(view.rows, view.leading, strict=True):
        shown.add_row(*map(Text, row), style="green" if is_leading else "")
    return shown
