"""How much worse a learning rate twice or half as large is than the best trial's, by the round's own points.

This is beyond the playbook, which asks whether the best rate lies inside of its range: a rate around which little
changes is safe to keep, and one at whose double the error jumps is worth tuning again after every change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as t_distribution

from raytune_playbook.analysis.evidence import Arm, Evidence
from raytune_playbook.analysis.sampled.points import Floats, points_of
from raytune_playbook.analysis.sampled.response import Response, responses
from raytune_playbook.analysis.wording import form_for, number_text
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter
from raytune_playbook.study.hyperparameters.known import is_learning_rate
from raytune_playbook.study.wording import value_text, values_text

NEAR = 4.0
"""Points whose rate is within so many times the best one are fitted: farther off no bowl fits."""

SPREADS = 4.0
"""A point counts as at most so many times as far behind the best as half of the trials are."""

CASES = 0.8
"""Share of the cases in which the interval holds the difference."""


@dataclass(frozen=True)
class Shift:
    """What another learning rate changes.

    Fields:
        factor: by which it is larger.
        worse: by how much the objective is expected to be worse; below zero where it would be better.
        low, high: of the interval about that, in 8 of 10 cases.
    """

    factor: float
    worse: float
    low: float
    high: float


@dataclass(frozen=True)
class Sensitivity:
    """Of a value's best trial.

    Fields:
        name: of its learning rate.
        best: the rate.
        shifts: to half and to twice of it, of those that lie within the range; none where points are too few.
        num_above, infeasible_above: trials with a rate above it, up to twice, and how many of those are infeasible.
    """

    arm: Arm
    name: str
    best: float
    shifts: tuple[Shift, ...]
    num_above: int
    infeasible_above: int


def sensitivity(evidence: Evidence, arm: Arm) -> Sensitivity | None:
    """Of an arm's best trial; None where its learning rate was not searched on a log scale, too few points tell, or no
    bowl fits them."""
    name = next((each for each in arm.space if is_learning_rate(each)), None)
    range_ = arm.space[name] if name is not None else None
    best = arm.best.values.get(name) if arm.best is not None and name is not None else None
    if name is None or not isinstance(range_, Float) or range_.scale != "log" or not isinstance(best, int | float):
        return None
    points = points_of(arm.ended, arm.space, evidence.objective)
    place, width = points.names.index(name), math.log(range_.high / range_.low)
    at = math.log(best / range_.low) / width
    away = (points.units[:, place] - at) * width
    # What is just as near as another point by its digits is as near.
    near = points.taken(points.completed & (np.abs(away) <= math.log(NEAR) + 1e-9))
    above = (away > 1e-9) & (away <= math.log(2.0) + 1e-9)
    usual = points.costs[points.completed]
    # A trial that learned next to nothing would bend the bowl for all others: it counts as this much worse at most.
    most = usual.min() + SPREADS * (np.median(usual) - usual.min())
    found = _near(arm.space, near.units, np.minimum(near.costs, most), name)
    shifts = tuple(
        _shift(found, at, math.log(factor) / width, factor)
        for factor in (0.5, 2.0)
        if found is not None and range_.low <= factor * best <= range_.high
    )
    # Errors and losses have no values below zero; a bowl that does is not that of these points.
    if not shifts or (usual.min() >= 0 and any(usual.min() + shift.worse < 0 for shift in shifts)):
        return None
    return Sensitivity(arm, name, best, shifts, int(above.sum()), int((above & ~points.completed).sum()))


def _near(space: Mapping[str, Hyperparameter], units: Floats, costs: Floats, name: str) -> Response | None:
    return responses(space, units, costs).get(name) if len(costs) else None


def _shift(fit: Response, at: float, by: float, factor: float) -> Shift:
    """Along the fitted bowl from one unit coordinate to another: linear in slope and curvature, and so is its error."""
    bend = 2 * (at - 0.5) * by + by**2
    of_slope, of_both, of_curvature = fit.covariance
    worse = fit.slope * by + fit.curvature * bend
    error = math.sqrt(max(0.0, by**2 * of_slope + 2 * by * bend * of_both + bend**2 * of_curvature))
    half = float(t_distribution.ppf((1 + CASES) / 2, fit.free)) * error
    return Shift(factor, worse, worse - half, worse + half)


def sensitivity_text(evidence: Evidence, found: Sensitivity) -> str:
    """In a sentence, marked as what it is."""
    whose = f" of {values_text(found.arm.values)}" if found.arm.values else ""
    sign = 1.0 if evidence.objective.goal == "minimize" else -1.0
    told = " and ".join(_shift_text(shift, sign) for shift in found.shifts)
    sentence = (
        f"Beyond the playbook: around the best {found.name}{whose}, {value_text(found.best)}, the "
        f"{evidence.objective.name} changes by {told}."
    )
    if not found.infeasible_above:
        return sentence
    were = form_for(found.infeasible_above, "was", "were")
    return (
        f"{sentence} Of {found.num_above:,} {form_for(found.num_above, 'trial', 'trials')} up to twice as large "
        f"{found.infeasible_above:,} {were} infeasible."
    )


def _shift_text(shift: Shift, sign: float) -> str:
    low, high = sorted((sign * shift.low, sign * shift.high))
    which = "at half of it" if shift.factor < 1 else "at twice"
    return f"{_signed(sign * shift.worse)} {which} ({_signed(low)} to {_signed(high)} in 8 of 10 cases)"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{number_text(abs(value), 2)}"
