"""What was searched of a hyperparameter, inferred from the values that trials have of it.

A sample lies within the range that it was drawn from: were the range taken to end at the outermost values, the
outermost trials would always lie at its boundary. So a range is taken to reach beyond them by the mean distance of
neighbours, which on the scale's own axis is the unbiased estimate of a uniform range's ends, unless several values are
equal to the outermost: then that is where the range was cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raytune_playbook.report.foreign.roles import choices
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Float, Hyperparameter, Int, Scale

MAX_FEW = 12
"""At most so many different numbers may be a list of values; more are taken from a range."""

MIN_RATIO_OF_LOG = 10.0
"""A range whose ends are closer than this is taken to be linear: a log scale changes little in it."""


def inferred_range(values: Sequence[Value]) -> Hyperparameter:
    """The hyperparameter that these values are of.

    Args:
        values: of shape (num_trials,); None is no value here.
    """
    given = [value for value in values if value is not None]
    distinct = tuple({(isinstance(value, bool), value): value for value in given}.values())
    numbers = [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(given):
        return choices(distinct)
    if len(distinct) == 1 or (len(distinct) <= MAX_FEW and len(distinct) * 2 <= len(numbers)):
        return choices(distinct)
    scale = inferred_scale(numbers)
    if all(isinstance(number, int) for number in numbers):
        return _whole(numbers, "linear" if scale == "log_one_minus" else scale)
    low, high = _widened(np.array(numbers, dtype=np.float64), scale)
    return Float(low, high, scale=scale)


def inferred_scale(numbers: Sequence[float]) -> Scale:
    """The scale on which the numbers are spread most evenly."""
    given = np.sort(np.array(numbers, dtype=np.float64))
    low, high = float(given[0]), float(given[-1])
    distances: dict[Scale, float] = {"linear": _unevenness(given)}
    if low > 0 and high / low >= MIN_RATIO_OF_LOG:
        distances["log"] = _unevenness(np.log(given))
    if low >= 0 and high < 1 and (1 - low) / (1 - high) >= MIN_RATIO_OF_LOG:
        distances["log_one_minus"] = _unevenness(-np.log1p(-given))
    return min(distances, key=lambda scale: distances[scale])


def _unevenness(rising: npt.NDArray[np.float64]) -> float:
    """The largest distance between their distribution and the uniform one over the same range (Kolmogorov-Smirnov)."""
    spread = float(rising[-1] - rising[0])
    if spread <= 0:
        return math.inf
    place = np.linspace(0, 1, len(rising))
    return float(np.abs((rising - rising[0]) / spread - place).max())


def _whole(numbers: Sequence[float], scale: Scale) -> Int:
    low, high = (round(end) for end in _widened(np.array(numbers, dtype=np.float64), scale))
    return Int(max(1, low), high, scale="log") if scale == "log" else Int(low, high)


def _widened(numbers: npt.NDArray[np.float64], scale: Scale) -> tuple[float, float]:
    """The ends of the range that the numbers were drawn from."""
    match scale:
        case "log":
            low, high = (math.exp(end) for end in _ends(np.log(numbers)))
        case "log_one_minus":
            low, high = (-math.expm1(-end) for end in _ends(-np.log1p(-numbers)))
        case "linear":
            low, high = _ends(numbers)
    if numbers.min() >= 0:  # a share, a rate or a count is not taken to be searched below 0, nor a share above 1
        low = max(low, 0.0)
        high = min(high, 1.0) if numbers.max() <= 1 else high
    return min(low, float(numbers.min())), max(high, float(numbers.max()))


def _ends(on_axis: npt.NDArray[np.float64]) -> tuple[float, float]:
    lowest, highest = float(on_axis.min()), float(on_axis.max())
    beyond = (highest - lowest) / max(1, len(on_axis) - 1)
    return (
        lowest if np.count_nonzero(on_axis == lowest) > 1 else lowest - beyond,
        highest if np.count_nonzero(on_axis == highest) > 1 else highest + beyond,
    )
