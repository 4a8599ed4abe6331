"""How figures look: the colours and symbols of studies, the marks of outcomes, and what all plots have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.trials import TrialId

COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#117733", "#7A6FDB", "#8C7A3D",
)  # fmt: skip
"""Okabe and Ito's palette, safe for colour-blind readers, and a few of Tol's beyond it."""

SYMBOLS = {
    "circle": "●", "diamond": "◆", "square": "■", "triangle-up": "▲", "triangle-down": "▼", "star": "★",
}  # fmt: skip
"""Studies differ in shape too, each with its sign for the legend."""

MARKS = {"failed": "circle-open", "infeasible": "x-thin"}
"""How trials without an objective are marked, from the lowest strip up; infeasible ones alone are crosses (IN11)."""

LOG_RATIO = 30.0
"""An axis of positive values turns logarithmic when they span more than this."""


MARGIN = {"l": 64, "r": 16, "t": 28, "b": 48}
"""Of every plot, in pixels."""


@dataclass(frozen=True)
class Look:
    """How a study is drawn, in every plot of the page: its colour, and one of `SYMBOLS`."""

    colour: str
    symbol: str

    @property
    def sign(self) -> str:
        """The symbol as a character."""
        return SYMBOLS[self.symbol]


Looks = Mapping[str, Look]
"""By study, in the studies' order."""


def looks_of(studies: Sequence[str]) -> dict[str, Look]:
    """A colour and a symbol for each study."""
    symbols = list(SYMBOLS)
    return {
        study: Look(COLOURS[place % len(COLOURS)], symbols[place % len(symbols)]) for place, study in enumerate(studies)
    }


def trial_name(trial: TrialId) -> str:
    """How points refer to a trial."""
    return "/".join(trial)


def value_axis(values: Sequence[float]) -> dict[str, object]:
    """A vertical axis for these values."""
    if not values:
        return {"showticklabels": False}
    low, high = min(values), max(values)
    if low <= 0 or high < LOG_RATIO * low:
        return {}
    # Few ticks, for plotly puts up to three times as many; a format, for it would else write 0.2 as a small 2.
    return {"type": "log", "nticks": 3, "tickformat": "~g"}
