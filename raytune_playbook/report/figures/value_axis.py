"""Vertical axes of objectives, which show how the good trials differ, however bad the bad ones are.

Where a few trials are so much worse than the others that these would all lie in a strip, the axis ends before them.
They stand at its edge, as triangles that point beyond, and a note counts them: none is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.wording import number_text
from raytune_playbook.report.figures.figure import Json
from raytune_playbook.study.settings import Objective

LOG_RATIO = 5.0
"""An axis of positive values turns logarithmic when they span more than this."""

FAR_OUT, FAR_OUT_OF_LOG = 3.0, 9.0
"""Values are beyond the axis that are further from the best three quarters than so many times what these span. A
logarithmic axis still shows the others where a linear one does not."""

_EDGE, _END, _START = 0.1, 0.17, 0.06
"""Shares of what the others span: how far beyond them the edge is, the axis ends, and it begins before them."""


@dataclass(frozen=True)
class ValueAxis:
    """A vertical axis.

    Fields:
        layout: as plotly takes it.
        limit: the worst value that stands where it is; None where all of them do.
        edge: where those stand that are worse.
        sign: 1 where worse values lie above, -1 below.
        num_beyond: how many are worse than the limit.
    """

    layout: dict[str, Json]
    limit: float | None = None
    edge: float = 0.0
    sign: int = 1
    num_beyond: int = 0

    def height(self, value: float | None) -> float | None:
        """Where a value is drawn."""
        return self.edge if self._is_beyond(value) else value

    def marker(self, values: Sequence[float | None], given: Mapping[str, Json]) -> Mapping[str, Json]:
        """How trials of these values are marked, which are marked as given where the axis holds them."""
        if not any(map(self._is_beyond, values)):
            return given
        beyond = "triangle-up-open" if self.sign > 0 else "triangle-down-open"
        symbols = [beyond if self._is_beyond(value) else given["symbol"] for value in values]
        opacities = [1.0 if self._is_beyond(value) else given.get("opacity", 1.0) for value in values]
        return {**given, "symbol": symbols, "opacity": opacities}

    def notes(self) -> list[dict[str, Json]]:
        """Annotations that count what lies beyond the axis."""
        if self.limit is None:
            return []
        trials = "1 trial" if self.num_beyond == 1 else f"{self.num_beyond:,} trials"
        sign, where = ("△", "above") if self.sign > 0 else ("▽", "below")
        text = f"{sign} {trials} {where} {number_text(self.limit, 3)}, at the edge"
        at: dict[str, Json] = {
            "xref": "paper",
            "yref": "paper",
            "x": 1,
            "y": 1,
            "xanchor": "right",
            "yanchor": "bottom",
        }
        return [{**at, "text": text, "showarrow": False, "font": {"size": 11}}]

    def _is_beyond(self, value: float | None) -> bool:
        return value is not None and self.limit is not None and self.sign * value > self.sign * self.limit


def value_axis(values: Sequence[float], objective: Objective, held: Sequence[float] = ()) -> ValueAxis:
    """An axis for the objectives of trials.

    Args:
        values: of the trials.
        objective: says which are worse.
        held: what it has to hold, too, such as the ends of intervals.
    """
    layout = scale_of([*values, *held])
    sign = 1 if objective.goal == "minimize" else -1
    is_log = layout.get("type") == "log"
    turn = math.log10 if is_log else float
    losses = sorted(sign * turn(value) for value in values)
    kept = [sign * turn(value) for value in held]
    limit = _limit(losses, FAR_OUT_OF_LOG if is_log else FAR_OUT)
    if limit is None or (limit := max([limit, *kept])) >= losses[-1]:
        return ValueAxis(layout)
    inside = [loss for loss in losses if loss <= limit]
    best, worst = min([*inside, *kept]), max([*inside, *kept])
    span = worst - best
    ends = sorted(sign * end for end in (best - _START * span, worst + _END * span))
    edge = sign * (worst + _EDGE * span)
    worst_inside = next(value for value in values if sign * turn(value) == inside[-1])
    return ValueAxis(
        {**layout, "range": ends}, worst_inside, 10**edge if is_log else edge, sign, len(losses) - len(inside)
    )


def _limit(losses: Sequence[float], far_out: float) -> float | None:
    """The largest of losses in rising order that an axis holds; None where they say nothing of it."""
    if len(losses) < 2:
        return None
    best = losses[0]
    most = max(float(np.quantile(losses, 0.75)), next((loss for loss in losses if loss > best), best))
    return most + far_out * (most - best) if most > best else None


def scale_of(values: Sequence[float]) -> dict[str, Json]:
    """A vertical axis that holds all of these values."""
    if not values:
        return {"showticklabels": False}
    low, high = min(values), max(values)
    if low <= 0 or high < LOG_RATIO * low:
        return {}
    return log_values(low, high)


def log_values(low: float, high: float) -> dict[str, Json]:
    """A logarithmic axis: few ticks, written in full, for plotly would put many and write 0.2 as a small 2."""
    ticks: dict[str, Json] = {"dtick": "D2"} if high < 300 * low else {"nticks": 4}
    return {"type": "log", "tickformat": "~g", **ticks}
