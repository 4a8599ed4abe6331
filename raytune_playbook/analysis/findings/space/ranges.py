"""Wider and narrower ranges of a hyperparameter, on its own scale and within its natural limits."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Categorical, Discrete, Float, Hyperparameter, Int
from raytune_playbook.study.hyperparameters.known import usual_name
from raytune_playbook.study.wording import value_text

WIDENED_BY = 0.5
"""A range is widened by so much of its own width, on its own scale."""

MOST_DECADES = 1.0
"""At most by so many powers of ten."""

SHARES = frozenset(
    {"dropout", "label_smoothing", "momentum", "beta1", "beta2", "rho", "averaging_decay", "final_factor"}
)
"""They lie from 0 to below 1."""

NOT_NEGATIVE = frozenset({"weight_decay", "epsilon", "learning_rate", "momentum_decay", "warmup_steps"})

SMALLEST, LARGEST = 1e-12, 1e12
"""Beyond them a log scale is not widened: so small a value comes to none, and so large a one to a mistake."""

CLOSEST_TO_ONE = 1e-6
"""So close to 1 a share gets on a scale that is logarithmic in its distance."""


class Limits(NamedTuple):
    """Beyond which a hyperparameter has no meaning; infinite where nothing is known."""

    low: float
    high: float


def limits_of(name: str, hyperparameter: Hyperparameter) -> Limits:
    """By its name, else by what its range says: one that starts at 0 or ends at 1 does so for a reason."""
    part = usual_name(name)
    if part in SHARES:
        return Limits(0.0, 1.0)
    if part in NOT_NEGATIVE:
        return Limits(0.0, math.inf)
    if isinstance(hyperparameter, Categorical):
        return Limits(-math.inf, math.inf)
    low, high = ends(hyperparameter)
    if isinstance(hyperparameter, Float):
        least = 0.0 if low >= 0 else -math.inf
        return Limits(least, 1.0 if hyperparameter.scale == "log_one_minus" or high == 1 else math.inf)
    whole = (1.0 if low >= 1 else 0.0) if low >= 0 else -math.inf
    return Limits(whole if isinstance(hyperparameter, Int) else (0.0 if low >= 0 else -math.inf), math.inf)


def ends(hyperparameter: Float | Int | Discrete) -> tuple[float, float]:
    """The least and the greatest value."""
    if isinstance(hyperparameter, Discrete):
        return hyperparameter.values[0], hyperparameter.values[-1]
    return hyperparameter.low, hyperparameter.high


def at_limit(name: str, hyperparameter: Hyperparameter, *, upward: bool) -> bool:
    """Whether an end is where the hyperparameter's meaning ends."""
    if isinstance(hyperparameter, Categorical):
        return True
    limits = limits_of(name, hyperparameter)
    low, high = ends(hyperparameter)
    if isinstance(hyperparameter, Float | Int) and hyperparameter.scale == "log":
        limits = Limits(max(limits.low, SMALLEST), min(limits.high, LARGEST))
    if not upward:
        return low <= limits.low
    return high >= limits.high or (limits.high == 1 and 1 - high <= CLOSEST_TO_ONE)


def widened(name: str, hyperparameter: Hyperparameter, *, upward: bool) -> Hyperparameter | None:
    """The same with its range widened at one end; None where it cannot be."""
    if at_limit(name, hyperparameter, upward=upward):
        return None
    limits = limits_of(name, hyperparameter)
    match hyperparameter:
        case Float():
            changed = _widened_float(hyperparameter, limits, upward)
            return hyperparameter.model_copy(update=changed)
        case Int():
            end = _widened_int(hyperparameter, limits, upward)
            return hyperparameter.model_copy(update={"high" if upward else "low": end})
        case Discrete():
            added = _next_value(hyperparameter.values if upward else hyperparameter.values[::-1])
            if not limits.low <= added or not (added < limits.high):
                return None
            values = (*hyperparameter.values, added) if upward else (added, *hyperparameter.values)
            return hyperparameter.model_copy(update={"values": values})
        case Categorical():
            return None


def cut(hyperparameter: Float | Int, unit: float, *, upward: bool) -> Hyperparameter | None:
    """The same without what lies beyond a unit coordinate; None where too little would be left."""
    low, high = ends(hyperparameter)
    end = value_at(hyperparameter, unit)
    if not low < end < high:
        return None
    return hyperparameter.model_copy(update={"high" if upward else "low": end})


def value_at(hyperparameter: Float | Int, unit: float) -> float:
    """The value at a unit coordinate, rounded as an end of a range is."""
    value = hyperparameter.from_unit(min(max(unit, 0.0), 1.0))
    if isinstance(hyperparameter, Int):
        return value
    return 1 - _nice(1 - value, 2) if hyperparameter.scale == "log_one_minus" else _nice(value, 2)


def narrowed(hyperparameter: Float, low: float, high: float) -> Hyperparameter | None:
    """The same between two unit coordinates."""
    below = cut(hyperparameter, high, upward=True) if high < 1 else hyperparameter
    end = hyperparameter.from_unit(low)
    if not isinstance(below, Float) or low <= 0:
        return below
    unit = below.to_unit(end)
    return None if unit is None else cut(below, unit, upward=False)


def on_log_scale(hyperparameter: Float, high: float) -> Float:
    """The same range, or what of it lies below ``high``, on a log scale; from 0 it starts three decades below."""
    low = hyperparameter.low if hyperparameter.low > 0 else high / 1000
    return hyperparameter.model_copy(update={"low": _nice(low, 2), "high": _nice(high, 2), "scale": "log"})


def range_text(hyperparameter: Hyperparameter) -> str:
    """``0.001 to 1 (log scale)``."""
    match hyperparameter:
        case Discrete():
            return ", ".join(value_text(value) for value in hyperparameter.values)
        case Categorical():
            return ", ".join(value_text(value) for value in hyperparameter.choices)
        case Float() | Int():
            scale = {"linear": "", "log": " (log scale)", "log_one_minus": " (log scale in 1 - value)"}
            low, high = (end_text(hyperparameter, end) for end in (hyperparameter.low, hyperparameter.high))
            return f"{low} to {high}{scale[hyperparameter.scale]}"


def end_text(hyperparameter: Hyperparameter, value: Value) -> str:
    """A value of a range; close to 1 with as many digits as its distance from 1 needs."""
    towards_one = isinstance(hyperparameter, Float) and hyperparameter.scale == "log_one_minus"
    if towards_one and isinstance(value, float) and 0.9 < value < 1:
        digits = 2 - math.floor(math.log10(1 - value))
        return f"{value:.{digits}f}".rstrip("0")
    return value_text(value)


def _widened_float(hyperparameter: Float, limits: Limits, upward: bool) -> dict[str, float]:
    low, high = hyperparameter.low, hyperparameter.high
    if hyperparameter.scale == "log":
        factor = _factor(high / low)
        return {"high": min(_nice(high * factor), limits.high)} if upward else {"low": _nice(low / factor)}
    if hyperparameter.scale == "log_one_minus":
        factor = _factor((1 - low) / (1 - high))
        if upward:
            return {"high": 1 - max(_nice((1 - high) / factor), CLOSEST_TO_ONE)}
        return {"low": max(1 - _nice((1 - low) * factor), limits.low)}
    width = WIDENED_BY * (high - low)
    if not upward:
        return {"low": max(_nice_above(low - width), limits.low)}
    # A share never reaches 1: halfway there instead.
    return {"high": _nice_above(high + width) if high + width < limits.high else (high + limits.high) / 2}


def _widened_int(hyperparameter: Int, limits: Limits, upward: bool) -> int:
    low, high = hyperparameter.low, hyperparameter.high
    if hyperparameter.scale == "log":
        factor = _factor(high / low)
        return round(high * factor) if upward else max(math.floor(low / factor), 1)
    width = max(1, round(WIDENED_BY * (high - low)))
    return high + width if upward else max(low - width, int(max(limits.low, low - width)))


def _factor(width: float) -> float:
    return float(min(max(width**WIDENED_BY, 2.0), 10**MOST_DECADES))


def _next_value(values: tuple[int | float, ...]) -> int | float:
    """The value after the last: by the factor between the last two where all are positive, else by their distance."""
    before, last = values[-2], values[-1]
    if min(values) <= 0:
        return last + (last - before)
    ratios = [b / a for a, b in itertools.pairwise(values)]
    is_geometric = max(ratios) <= min(ratios) * 1.2
    added = last * (last / before) if is_geometric else last + (last - before)
    if all(isinstance(value, int) for value in values):
        return round(added)
    return float(f"{added:.4g}")


def _nice(value: float, digits: int = 1) -> float:
    """Rounded to so many significant digits."""
    return float(f"{value:.{digits - 1}e}")


def _nice_above(value: float) -> float:
    return float(f"{value:.3g}")
