"""Bayesian optimization of a refined space, for the exploitation phase.

The Deep Learning Tuning Playbook ("After exploration concludes") asks for "Bayesian optimization tools" once "there
should be a refined search space that comfortably contains the local region around the best observed trial", and for
tools "that properly handle trials that diverge" (rule QR8). `propose` is such a tool, around Optuna's Gaussian process
sampler (Matérn 5/2 kernel, expected improvement); `raytune_playbook.search.refinement` says whether a space is ready.

* A proposal is a function of its arguments alone. Nothing is kept between calls, so that a search that was cut off goes
  on from its records; and the order of the observations, which is that of arrival, plays no part.
* Every hyperparameter is searched on its own scale, or among its values.
* Infeasible points are a constraint, learned by a Gaussian process of its own (Gelbart, Snoek & Adams 2014, "Bayesian
  Optimization with Unknown Constraints"), whose probability of feasibility weighs the expected improvement.
* What is not known yet of points under way is integrated out (Ament et al. 2023, "Unexpected Improvements to Expected
  Improvement for Bayesian Optimization"): a proposal is what adds most to them, so that parallel proposals spread.
* No point is proposed twice. A second draw at one point would be a repeat, which does not compete with other trials;
  and a model that is sure of a corner of its space would ask for it for ever.
* A space is that of one arm. Hyperparameters that exist under some scientific values only are never missing within an
  arm's active space, so conditional branches are handled by one model for each branch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np

from raytune_playbook.errors import SpaceError, SpecError
from raytune_playbook.search import halton
from raytune_playbook.search.evidence import Cube, Evidence, Goal, Observation, distances, unit_points
from raytune_playbook.search.sequences import at_units
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter, finite_values

MIN_COMPLETED = 2
"""Fewer completed trials make no model."""

MAX_FINITE = 2048
"""A space of at most so many points is searched point by point."""

SAME_POINT = 0.005
"""A proposal that differs from an observed point by no more than this in every coordinate of the unit cube is that."""

APART = 0.02
"""The same for a pending point, near which an outcome is still to come: elsewhere another tells more."""


def propose(
    space: Mapping[str, Hyperparameter],
    evidence: Evidence,
    seed: int,
    among: Sequence[Mapping[str, Value]] | None = None,
) -> dict[str, Value]:
    """The point to try next, given what was seen and what is under way.

    Args:
        space: one arm's active space.
        evidence: what was seen and what is under way.
        seed: which of the equally good proposals; 0 or more.
        among: the points to choose from, such as a list of configurations; None for the whole space.

    Returns:
        A value for every hyperparameter of the space: a point that was neither observed nor is pending.

    Raises:
        SpecError: Optuna is not installed.
        SpaceError: fewer than `MIN_COMPLETED` trials completed, a value outside the space, an objective that is not
            finite, or no point is left that was not tried.
    """
    _require_optuna()
    # Not at the top of the module: it needs Optuna.
    from raytune_playbook.search.gaussian_process import Told, best_among, best_point

    observed = sorted(evidence.observed, key=lambda seen: _order(space, seen.values, seen.objective))
    pending = sorted(evidence.pending, key=lambda values: _order(space, values, None))
    targets, violations = _targets(space, observed, evidence.goal), _violations(observed)
    told = [*map(Told, (seen.values for seen in observed), targets, violations), *map(Told, pending)]
    seed %= 2**32  # what the sampler's generator takes
    tried = unit_points(space, [each.values for each in told])
    choices = _all_points(space) if among is None else among
    margins = np.zeros(len(told))
    if choices is None:
        margins = np.array([SAME_POINT if each.target is not None else APART for each in told])
        proposal = best_point(space, told, seed)
        if _untried(space, [proposal], tried, margins):
            return proposal
        choices = _many_points(space, seed)
    left = _untried(space, choices, tried, margins)
    if not left:
        raise SpaceError(
            f"Bayesian optimization proposes no point twice, but all {len(choices)} points have been tried; "
            "stop here, or widen the space."
        )
    chosen = left[best_among(space, told, left, seed)]
    return {name: chosen[name] for name in space}


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise SpecError(
            "Bayesian optimization needs Optuna, which is not installed; run pip install optuna==5.0.0 scipy."
        ) from None


def _targets(space: Mapping[str, Hyperparameter], observed: Sequence[Observation], goal: Goal) -> list[float]:
    """What the objective's model learns from each observation: small is good.

    An infeasible point has no objective, but the sampler wants a number for it. It is given that of its nearest
    completed neighbour, which tells the objective's model nothing that it did not know there; a bad number would teach
    it that the points nearby are bad, which is the constraint's to say, if it is so.
    """
    cube = unit_points(space, [seen.values for seen in observed])
    objectives = np.array([math.nan if seen.objective is None else seen.objective for seen in observed])
    completed = np.array([not seen.infeasible for seen in observed], dtype=bool)
    if completed.sum() < MIN_COMPLETED:
        raise SpaceError(
            f"Bayesian optimization needs at least {MIN_COMPLETED} completed trials to learn from, "
            f"but got {completed.sum()}; explore the space with quasi-random search first."
        )
    if not np.isfinite(objectives[completed]).all():
        raise SpaceError(
            "Bayesian optimization needs finite objectives, but got "
            f"{[seen.objective for seen in observed if not seen.infeasible]}; record such trials as infeasible."
        )
    targets = np.empty(len(observed))
    targets[completed] = _half_ranked(objectives[completed] * (1.0 if goal == "minimize" else -1.0))
    for row in np.flatnonzero(~completed):
        targets[row] = targets[completed][np.argmin(distances(space, cube[completed], cube[row]))]
    return [float(target) for target in targets]


def _half_ranked(costs: Cube) -> Cube:
    """Costs whose worse half is replaced by what its ranks would be in a normal distribution.

    Losses reach many times the median, which would leave the model no resolution among the good ones. How far off a
    bad point is matters to no proposal, that it is bad does: half-rank warping (Song et al. 2024, "The Vizier Gaussian
    Process Bandit Algorithm").

    Args:
        costs: small is good; shape ``(num_completed,)``.

    Returns:
        An array of the same shape and order; the better half is as it was.
    """
    median = float(np.median(costs))
    good = costs[costs <= median]
    spread = math.sqrt(float(np.mean((good - median) ** 2))) or 1.0
    _, rank_of, counts = np.unique(costs, return_inverse=True, return_counts=True)
    shares = (np.cumsum(counts) - counts / 2) / len(costs)  # ties share the middle of their ranks
    ranked = np.array([median + spread * NormalDist().inv_cdf(float(share)) for share in shares])
    return np.where(costs <= median, costs, np.maximum(ranked[rank_of], median))


def _violations(observed: Sequence[Observation]) -> list[float | None]:
    """By how much each observation violates the constraint, which is there only where a point was infeasible.

    Zero, the edge of what can be trained, is put nearer to the feasible points: what lies half way between a feasible
    and an infeasible point is rather not tried.
    """
    if not any(seen.infeasible for seen in observed):
        return [None] * len(observed)
    return [1.0 if seen.infeasible else -0.5 for seen in observed]


def _order(
    space: Mapping[str, Hyperparameter], values: Mapping[str, Value], objective: float | None
) -> tuple[float, ...]:
    """By place in the unit cube: sums in another order would have other last digits."""
    return (*unit_points(space, [values])[0], -math.inf if objective is None else objective)


def _untried(
    space: Mapping[str, Hyperparameter], points: Sequence[Mapping[str, Value]], tried: Cube, margins: Cube
) -> list[Mapping[str, Value]]:
    """Those of the points that differ enough from every point that was tried or is under way.

    Args:
        space: of the points.
        points: to choose from.
        tried: other points, ``(num_tried, num_dims)``.
        margins: how far a point has to be from each of them in some coordinate, ``(num_tried,)``.
    """
    free = [not (np.abs(tried - row) <= margins[:, None]).all(axis=1).any() for row in unit_points(space, points)]
    return [values for values, is_free in zip(points, free, strict=True) if is_free]


def _all_points(space: Mapping[str, Hyperparameter]) -> list[dict[str, Value]] | None:
    """All points of a small finite space; None for any other."""
    if math.prod(hyperparameter.num_values or math.inf for hyperparameter in space.values()) > MAX_FINITE:
        return None
    choices = [finite_values(hyperparameter) or () for hyperparameter in space.values()]
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*choices)]


def _many_points(space: Mapping[str, Hyperparameter], seed: int) -> list[dict[str, Value]]:
    """As many points all over a larger space."""
    return [at_units(space, map(float, point)) for point in halton.points(MAX_FINITE, len(space), seed)]
