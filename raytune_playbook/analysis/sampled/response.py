"""How the objective responds to each hyperparameter: an additive quadratic fit to normal scores on the unit cube.

It is as simple as a response to a dozen trials can be: a bowl in each hyperparameter that explains something. What it
is asked is whether the objective still falls at an end of a range, beside its uncertainty (rule IN1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from raytune_playbook.analysis.sampled.points import Floats, is_numeric
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter

MIN_FREE = 3
"""Degrees of freedom that must be left to tell the noise."""


@dataclass(frozen=True)
class Response:
    """How the scores respond to one numeric hyperparameter, beside all others that explain something.

    Fields:
        slope, curvature: the fit is slope (u - 1/2) + curvature (u - 1/2)^2 of the unit coordinate u.
        covariance: of the two: of slope, of both, of curvature.
        free: degrees of freedom of the noise.
        p_value: how often chance would explain as much.
    """

    slope: float
    curvature: float
    covariance: tuple[float, float, float]
    free: int
    p_value: float

    @property
    def lowest(self) -> float | None:
        """The unit coordinate at which the fitted bowl is lowest, which may lie outside of [0, 1]; None without one."""
        return 0.5 - self.slope / (2 * self.curvature) if self.curvature > 0 else None

    def falls_outward(self, unit: float, *, upward: bool) -> float:
        """How often chance would make the scores fall as steeply across an end of the range: a one-sided p-value.

        Args:
            unit: where the end is.
            upward: whether it is the upper one.
        """
        sign = 1.0 if upward else -1.0
        lever = 2 * (unit - 0.5)
        slope = sign * (self.slope + self.curvature * lever)
        of_slope, of_both, of_curvature = self.covariance
        variance = of_slope + 2 * lever * of_both + lever**2 * of_curvature
        if variance <= 0:
            return 0.0 if slope < 0 else 1.0
        return float(t_distribution.cdf(slope / math.sqrt(variance), self.free))


def columns_of(hyperparameter: Hyperparameter, units: Floats) -> Floats:
    """What a hyperparameter contributes to a fit, of shape (num_points, num_terms); 0 where it does not exist."""
    absent = np.isnan(units)
    if is_numeric(hyperparameter):
        centred = np.where(absent, 0.0, units - 0.5)
        terms = np.stack([centred, np.where(absent, 0.0, centred**2 - 1 / 12)], axis=1)
        return terms if len(np.unique(units[~absent])) > 2 else terms[:, :1]
    kinds = np.unique(units[~absent])[1:]
    return np.stack([(units == kind) * 1.0 for kind in kinds], axis=1) if len(kinds) else np.empty((len(units), 0))


def responses(space: Mapping[str, Hyperparameter], units: Floats, scores: Floats) -> dict[str, Response]:
    """The response to each numeric hyperparameter for which the points suffice.

    Args:
        space: what the columns of ``units`` are.
        units: of shape (num_points, num_hyperparameters).
        scores: of shape (num_points,).
    """
    columns = {name: columns_of(space[name], units[:, place]) for place, name in enumerate(space)}
    explaining = _explaining(columns, scores)
    found = {}
    for name, own in columns.items():
        if is_numeric(space[name]) and own.shape[1] == 2:
            others = [columns[other] for other in explaining if other != name]
            while others and len(scores) - 1 - sum(other.shape[1] for other in (own, *others)) < MIN_FREE:
                others.pop()
            response = _response(own, others, scores)
            if response is not None:
                found[name] = response
    return found


def _explaining(columns: Mapping[str, Floats], scores: Floats) -> list[str]:
    """The hyperparameters that explain something, the most important first: added as long as that lowers the BIC."""
    chosen: list[str] = []
    best = _bic([], scores)
    while True:
        rest = [name for name in columns if name not in chosen and columns[name].shape[1]]
        bics = {name: _bic([columns[other] for other in (*chosen, name)], scores) for name in rest}
        name = min(bics, key=lambda key: bics[key], default=None)
        if name is None or bics[name] >= best:
            return chosen
        best = bics[name]
        chosen.append(name)


def _bic(blocks: list[Floats], scores: Floats) -> float:
    num_terms = 1 + sum(block.shape[1] for block in blocks)
    if len(scores) - num_terms < MIN_FREE:
        return math.inf
    residuals = residuals_of(blocks, scores)
    noise = max(float(residuals @ residuals), 1e-12)
    return float(len(scores) * math.log(noise) + num_terms * math.log(len(scores)))


def residuals_of(blocks: Sequence[Floats], values: Floats) -> Floats:
    """What a constant and some columns, each of shape (num_points, num_terms), do not explain of values."""
    design = np.concatenate([np.ones((len(values), 1)), *blocks], axis=1)
    residuals: Floats = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return residuals


def _response(own: Floats, others: list[Floats], scores: Floats) -> Response | None:
    free = len(scores) - 1 - sum(block.shape[1] for block in (own, *others))
    if free < MIN_FREE or np.ptp(scores) == 0:
        return None
    # What the others leave of both sides (Frisch-Waugh): the fit to that is the one beside them.
    left = np.stack([residuals_of(others, own[:, term]) for term in range(2)], axis=1)
    target = residuals_of(others, scores)
    gram = left.T @ left
    if np.linalg.cond(gram) > 1e10:
        return None
    slope, curvature = np.linalg.solve(gram, left.T @ target)
    residuals = target - left @ np.array([slope, curvature])
    noise = float(residuals @ residuals)
    explained = max(float(target @ target) - noise, 0.0)
    p_value = 0.0 if noise <= 0 else float(f_distribution.sf(explained / 2 / (noise / free), 2, free))
    inverse = np.linalg.inv(gram) * noise / free
    covariance = (float(inverse[0, 0]), float(inverse[0, 1]), float(inverse[1, 1]))
    return Response(float(slope), float(curvature), covariance, free, p_value)
