"""A figure as plain data: what plotly.js draws, made without plotly's own classes.

A page has hundreds of lines, and plotly's `Figure` checks every one of them for milliseconds. The tests let it check
every kind of figure that is made here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


@dataclass(frozen=True)
class Figure:
    """What `Plotly.newPlot` is given.

    Fields:
        data: the traces.
        layout: axes, margins and shapes; its ``meta`` says which ``kind`` of figure it is, for the page's script.
    """

    data: tuple[Mapping[str, Json], ...]
    layout: Mapping[str, Json]

    @property
    def json(self) -> dict[str, Json]:
        return {"data": self.data, "layout": self.layout}


def rounded(values: Iterable[float], digits: int = 6) -> list[float | None]:
    """Numbers with so many significant digits, which is more than a screen shows; None for NaN and infinities."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values]


def plain(text: str) -> str:
    """A text that is no mark-up: plotly understands tags such as ``<b>`` wherever it shows a text."""
    return escape(text, quote=False)
