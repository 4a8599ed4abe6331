"""How rounds, trials and results show themselves: in a notebook, to `rich`, and in Python's own prompt."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

NOTEBOOK_WIDTH = 110
"""Columns of what is shown in a notebook."""

_HTML = '<pre style="white-space:pre; overflow-x:auto; line-height:1.3; font-family:monospace">{code}</pre>'
"""The notebook's own colours, so that it is legible in the dark as well."""


class Shown(ABC):
    """What `__rich__` makes for a terminal is shown in a notebook, too."""

    __slots__ = ()

    @abstractmethod
    def __rich__(self) -> RenderableType:
        """What `rich.print` prints."""

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        from rich.console import Console

        console = Console(
            file=io.StringIO(), width=NOTEBOOK_WIDTH, no_color=True, highlight=False, record=True, force_jupyter=False
        )
        console.print(self)
        text = console.export_text(clear=False, styles=False)
        plain = "\n".join(line.rstrip() for line in text.splitlines())
        return {"text/plain": plain, "text/html": console.export_html(code_format=_HTML, inline_styles=True)}


def facts_table(title: str, facts: Mapping[str, str]) -> RenderableType:
    """A title, and under it a line for each fact that is not empty."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        if fact:
            table.add_row(Text(f"  {name}"), Text(fact))
    return Group(Text(title, "bold"), *([table] if table.row_count else ()))
