"""Whether curves go up and down with a period, tested over many trials together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.series.stacks import Floats

MIN_POINTS = 24
"""Of fewer points no period is told from noise."""

MIN_PERIODS = 4
"""What comes less often over training is a trend."""

_SKIPPED_SHARE = 0.2
"""The beginning is left out, where metrics fall fast."""

_NEIGHBOURS = 8
"""Frequencies on either side that tell how strong one is by chance."""

_MOST_DEVIATIONS = 3.0
"""A point farther off counts as if it were so far off: a spike is no period."""


@dataclass(frozen=True)
class Period:
    """The strongest period of some curves.

    Fields:
        points: its length, in points of the curves.
        resolution: by which the number of periods over all points is uncertain, as a share of it.
        probability: that chance alone gives one that strong at any frequency.
    """

    points: float
    resolution: float
    probability: float


def strongest_period(values: Floats) -> Period | None:
    """Of curves of the same evenly spaced steps, an array of shape (num_curves, num_points).

    Trials of a round see the same batches and the same validation examples, so that their noise is no evidence of its
    own: what is tested is the mean of their curves, each without its trend and in units of its own noise. At every
    frequency the periodogram is compared with its mean over neighbouring frequencies, whatever the colour of the noise;
    that ratio has an F distribution where there is no period.

    Returns:
        None where the points are too few, or no curve varies.
    """
    late = values[:, int(_SKIPPED_SHARE * values.shape[1]) :]
    num_points = late.shape[1]
    if num_points < MIN_POINTS:
        return None
    basis, _ = np.linalg.qr(np.vander(np.linspace(-1, 1, num_points), 4))
    changes = np.diff(late - (late @ basis) @ basis.T, axis=1)
    deviations = changes.std(axis=1)
    varies = deviations > 1e-9 * np.abs(late).max(axis=1)
    if not varies.any():
        return None
    scaled = changes[varies] / deviations[varies, None]
    mean = np.clip(scaled, -_MOST_DEVIATIONS, _MOST_DEVIATIONS).mean(axis=0)
    power = np.abs(np.fft.rfft(mean - mean.mean())) ** 2
    frequencies = np.arange(MIN_PERIODS, len(mean) // 2)  # the highest one has another distribution
    if len(frequencies) == 0:
        return None
    ratios, sizes = _against_neighbours(power, frequencies)
    probabilities = np.minimum(1.0, len(frequencies) * (1 + ratios / sizes) ** -sizes)
    best = int(probabilities.argmin())
    number = int(frequencies[best])
    return Period(len(mean) / number, 1 / number, float(probabilities[best]))


def _against_neighbours(power: Floats, frequencies: np.typing.NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Each frequency's power as a multiple of the mean over its neighbours, and how many these are; the next ones on
    either side, into which a period between two frequencies leaks, are left out."""
    offsets = np.array([offset for offset in range(-_NEIGHBOURS - 1, _NEIGHBOURS + 2) if abs(offset) > 1])
    places = frequencies[:, None] + offsets
    inside = (places >= 1) & (places < len(power) - 1)
    around = np.where(inside, power[np.clip(places, 0, len(power) - 1)], 0.0).sum(axis=1)
    sizes = inside.sum(axis=1).astype(float)
    mean = around / np.maximum(sizes, 1)
    return np.where(mean > 0, power[frequencies] / np.where(mean > 0, mean, 1.0), 0.0), np.maximum(sizes, 1)
