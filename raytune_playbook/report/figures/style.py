"""How figures look: the colours and symbols of studies, the marks of outcomes, and what all plots have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.trials import TrialId

COLOURS = {
    "#0072B2": "#4FA8E8", "#D55E00": "#FF8C42", "#009E73": "#2CC79A", "#CC79A7": "#E59CC6", "#56B4E9": "#9ADCFF",
    "#E69F00": "#F7C04A", "#882255": "#D9799B", "#117733": "#7BBF6A", "#7A6FDB": "#ABA3F5", "#8C7A3D": "#C8B878",
}  # fmt: skip
"""Okabe and Ito's palette, safe for colour-blind readers, and a few of Tol's beyond it; each with the lighter one that
takes its place on a dark page."""

GREY, DARK_GREY = "#7A828A", "#8E969E"
"""What belongs to no study, or cannot be trusted; on a light and on a dark page."""

SYMBOLS = {
    "circle": "●", "diamond": "◆", "square": "■", "triangle-up": "▲", "triangle-down": "▼", "star": "★",
}  # fmt: skip
"""Studies differ in shape too, each with its sign for the legend."""

MARKS = {"failed": "circle-open", "infeasible": "x-thin"}
"""How trials without an objective are marked, from the lowest strip up; infeasible ones alone are crosses (IN11)."""

MARGIN = {"l": 64, "r": 16, "t": 28, "b": 48}
"""Of every plot, in pixels."""

HOVER_TRIAL = "%{text}<extra></extra>"
"""Of points that carry the name of a trial: the page gives them that trial's facts."""


@dataclass(frozen=True)
class Look:
    """How a study is drawn, in every plot of the page: its colour, and one of `SYMBOLS`."""

    colour: str
    symbol: str

    @property
    def sign(self) -> str:
        """The symbol as a character."""
        return SYMBOLS[self.symbol]

    @property
    def dark_colour(self) -> str:
        """The colour on a dark page."""
        return COLOURS.get(self.colour, DARK_GREY)

    def faint(self, opacity: float) -> str:
        """The colour, as transparent as that, for areas."""
        return faint(self.colour, opacity)


NO_STUDY = Look(GREY, "circle")
"""Of what belongs to several studies."""

Looks = Mapping[str, Look]
"""By study, in the studies' order."""


def looks_of(studies: Sequence[str]) -> dict[str, Look]:
    """A colour and a symbol for each study."""
    colours, symbols = list(COLOURS), list(SYMBOLS)
    return {
        study: Look(colours[place % len(colours)], symbols[place % len(symbols)]) for place, study in enumerate(studies)
    }


def faint(colour: str, opacity: float) -> str:
    """A colour of six hexadecimal digits, as transparent as that."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


GOLDEN = 0.6180339887
"""Multiples of it fill the unit interval evenly, however many: marks that would hide each other stand apart by it."""


def trial_name(trial: TrialId) -> str:
    """How points refer to a trial."""
    return "/".join(trial)


def log_slack(low: float, high: float, share: float) -> list[float]:
    """The range of a logarithmic axis, as plotly takes it, with a share of it left free at either end."""
    slack = share * max(math.log10(high / low), 0.05)
    return [math.log10(low) - slack, math.log10(high) + slack]
