"""What of a curve is noise, and whether it rises or falls by more than that.

Noise from one evaluation to the next is seldom independent, so its correlation is estimated and counted in. All
functions take an array of shape (num_curves, num_points) and give one number for each curve.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from raytune_playbook.analysis.series.stacks import Floats

MOST_CORRELATED = 0.9
"""The noise of neighbouring points is taken to be at most so correlated."""

QUANTIZATION = 12**-0.5
"""The standard deviation of what rounding to whole examples takes away, in examples."""


class Noise(NamedTuple):
    """Noise about a smooth curve.

    Fields:
        deviation: its standard deviation.
        inflation: by which the variance of a mean of many points is larger than if they were independent.
        freedom: the degrees of freedom that the estimate rests on.
    """

    deviation: Floats
    inflation: Floats
    freedom: Floats


class Trend(NamedTuple):
    """A straight line through each curve.

    Fields:
        change: from its first point to its last; below zero where the curve falls.
        significance: the change in standard errors, as of a normal distribution.
    """

    change: Floats
    significance: Floats


class Rise(NamedTuple):
    """What became of each curve after its lowest point.

    Fields:
        lowest: the lowest of the means over a few neighbouring points, before the end.
        place: the point in the middle of them.
        end: the mean of the last few points.
        significance: of the difference, in standard errors as of a normal distribution.
    """

    lowest: Floats
    place: npt.NDArray[np.intp]
    end: Floats
    significance: Floats


MIN_POINTS = 8
"""Of fewer points nobody tells a rise from noise."""


def step_to_step(values: Floats) -> Floats:
    """The standard deviation from one point to the next, whatever the smooth trend; of three points or more."""
    bends = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    return np.asarray(np.sqrt(np.mean(bends**2, axis=1) / 6))


def noise_about(values: Floats, degree: int, *, smallest: Floats | float = 0.0) -> Noise:
    """Noise about a polynomial.

    Args:
        degree: of the polynomial; there are more points than that and one.
        smallest: the standard deviation that is there in any case, such as that of rounding.
    """
    num_points, num_terms = values.shape[1], degree + 1
    basis, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, num_points), num_terms))
    rest = values - (values @ basis) @ basis.T
    squares = np.sum(rest**2, axis=1)
    neighbours = _ratio(np.sum(rest[:, 1:] * rest[:, :-1], axis=1), squares, 0.0)
    # A polynomial takes correlation away with the trend, the more the fewer points there are.
    correlation = np.clip(neighbours + (num_terms + 2 * np.maximum(neighbours, 0)) / num_points, 0.0, MOST_CORRELATED)
    correlation = np.where(squares > 0, correlation, 0.0)
    inflation = (1 + correlation) / (1 - correlation)
    deviation = np.maximum(np.sqrt(squares / (num_points - num_terms)), smallest)
    independent = (1 - correlation**2) / (1 + correlation**2)  # share of the points, for the estimate of a variance
    return Noise(deviation, inflation, np.maximum(2.0, (num_points - num_terms) * independent))


def trend(values: Floats, *, noise_from: Floats | None = None, smallest: Floats | float = 0.0) -> Trend:
    """The straight line through each curve, of three points or more.

    Args:
        noise_from: a longer part of the same curves, which tells more of their noise; None for ``values``.
        smallest: as of `noise_about`.
    """
    num_points = values.shape[1]
    places = np.linspace(-0.5, 0.5, num_points)
    change = values @ places / (places @ places)
    if noise_from is None or noise_from.shape[1] < MIN_POINTS:
        noise = noise_about(values, 1, smallest=smallest)
    else:
        noise = noise_about(noise_from, 2, smallest=smallest)
    error = noise.deviation * np.sqrt(noise.inflation / (places @ places))
    return Trend(change, significance(change, error, noise.freedom))


def rise(values: Floats, *, smallest: Floats | float = 0.0) -> Rise:
    """How far the end of each curve, of `MIN_POINTS` or more, lies above its lowest point."""
    num_points = values.shape[1]
    length, end_length = max(1, round(0.1 * num_points)), max(2, round(0.15 * num_points))
    means = running_mean(values, length)[:, : num_points - end_length - length + 1]
    place = means.argmin(axis=1)
    lowest = np.take_along_axis(means, place[:, None], axis=1)[:, 0]
    end = values[:, -end_length:].mean(axis=1)
    tail = values[:, -max(5, round(0.6 * num_points)) :]
    degree = 1 if tail.shape[1] < MIN_POINTS else 3 if tail.shape[1] < 2 * MIN_POINTS else 5  # it has a bend
    noise = noise_about(tail, degree, smallest=smallest)
    error = noise.deviation * np.sqrt(noise.inflation * (1 / length + 1 / end_length))
    return Rise(lowest, place + length // 2, end, significance(end - lowest, error, noise.freedom))


def significance(difference: Floats, error: Floats, freedom: Floats) -> Floats:
    """A difference in standard errors, where these are an estimate: what a normal distribution would have to show to
    be as unlikely as Student's t (Wallace's approximation)."""
    t = _ratio(difference, error, np.where(difference == 0, 0.0, np.sign(difference) * 1e6))
    scaled = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(t**2 / freedom))
    return np.asarray(np.sign(t) * scaled)


def running_mean(values: Floats, length: int) -> Floats:
    """Means over ``length`` neighbours, of shape (num_curves, num_points - length + 1)."""
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    return np.asarray((sums[:, length:] - sums[:, :-length]) / length)


def _ratio(numerator: Floats, denominator: Floats, otherwise: Floats | float) -> Floats:
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.where(denominator > 0, numerator / safe, otherwise)
