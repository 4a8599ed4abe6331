"""Whether what was tuned explains the objective more than chance would: a permutation test.

If nothing that was tuned matters, the objectives might as well have come in any other order. So they are put in many
random orders, and the strongest connection that is found is compared with the strongest one in each of those: the test
holds its level whatever the distribution of objectives, and however many connections are tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import f as f_distribution

from raytune_playbook.analysis.sampled.points import Floats, Group
from raytune_playbook.analysis.sampled.response import MIN_FREE, columns_of, residuals_of
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter

NUM_ORDERS = 999

LEVEL = 0.03
"""At most so often chance may explain something where nothing does."""

MIN_POINTS = 6
"""Fewer points have too few orders, and no bowl is seen in them."""


@dataclass(frozen=True)
class Chance:
    """How often chance would explain as much.

    Fields:
        num_points: that were looked at.
        p_value: of the strongest connection of all.
        hidden_share: a single hyperparameter that explains less of the variance of the scores may go unnoticed.
    """

    num_points: int
    p_value: float
    hidden_share: float


class Pair(NamedTuple):
    """Two hyperparameters of which one's effect depends on the other's value.

    Fields:
        names: of the two.
        share: of the variance that this explains.
        p_value: how often the strongest of all pairs would explain as much by chance.
    """

    names: tuple[str, str]
    share: float
    p_value: float


def by_chance(group: Group) -> Chance | None:
    """The test of one group of arms; None where it has too few points, or all are equally good."""
    return chance_of(group.space, group.units, group.scores)


def chance_of(space: Mapping[str, Hyperparameter], units: Floats, scores: Floats) -> Chance | None:
    """The same from points.

    Args:
        space: what the columns of ``units`` are.
        units: of shape (num_points, num_hyperparameters).
        scores: of shape (num_points,).
    """
    num_points = len(scores)
    blocks = _blocks(space, units)
    if num_points < MIN_POINTS or np.ptp(scores) == 0 or not blocks:
        return None
    rng = np.random.default_rng(0)
    orders = np.stack([scores, *(rng.permutation(scores) for _ in range(NUM_ORDERS))], axis=1)
    orders = orders - orders.mean(axis=0)
    total = float(orders[:, 0] @ orders[:, 0])
    shares = np.stack([((basis.T @ orders) ** 2).sum(axis=0) / total for basis in blocks.values()])
    terms = np.array([basis.shape[1] for basis in blocks.values()])[:, None]
    free = num_points - 1 - terms
    # As p-values of single connections, which makes those of one term comparable with those of several.
    strength = f_distribution.sf(shares / terms / (np.maximum(1 - shares, 1e-12) / free), terms, free)
    strongest = strength.min(axis=0)
    single = np.array([len(names) == 1 for names in blocks])
    hidden = float(np.quantile(shares[single].max(axis=0), 1 - LEVEL)) if single.any() else 1.0
    return Chance(num_points, float((strongest <= strongest[0]).mean()), hidden)


def pairs_of(space: Mapping[str, Hyperparameter], units: Floats, values: Floats) -> list[Pair]:
    """The pairs that explain something of values beyond what each hyperparameter does by itself, the strongest first.

    What is left beside the effects of single hyperparameters is put in random orders (Freedman and Lane).

    Args:
        space: what the columns of ``units`` are.
        units: of shape (num_points, num_hyperparameters).
        values: of shape (num_points,); not ranks, which would bend an additive response.
    """
    blocks = _blocks(space, units)
    single = [basis for names, basis in blocks.items() if len(names) == 1]
    pairs = {names: basis for names, basis in blocks.items() if len(names) == 2}
    free = len(values) - 1 - sum(basis.shape[1] for basis in single)
    if not pairs or free <= MIN_FREE or np.ptp(values) == 0:
        return []
    names = [pair for pair in pairs if len(pair) == 2]
    columns = [_orthonormal(residuals_of(single, basis[:, 0])[:, None]) for basis in pairs.values()]
    kept = [place for place, column in enumerate(columns) if column.shape[1]]
    if not kept:
        return []
    left = residuals_of(single, values)
    rng = np.random.default_rng(0)
    orders = np.stack([left, *(rng.permutation(left) for _ in range(NUM_ORDERS))], axis=1)
    explained = np.concatenate([columns[place] for place in kept], axis=1).T @ orders
    sums = explained**2
    strongest = sums.max(axis=0)
    total = float(((values - values.mean()) ** 2).sum())
    found = [
        Pair((names[place][0], names[place][-1]), float(own / total), float((strongest >= own * (1 - 1e-9)).mean()))
        for place, own in zip(kept, sums[:, 0], strict=True)
    ]
    return sorted(found, key=lambda pair: -pair.share)


def _blocks(space: Mapping[str, Hyperparameter], units: Floats) -> dict[tuple[str, ...], Floats]:
    """Orthonormal columns of each hyperparameter (a bowl, or its choices), and of each pair that can interact."""
    columns = {name: columns_of(space[name], units[:, place]) for place, name in enumerate(space)}
    raw: dict[tuple[str, ...], Floats] = {(name,): own for name, own in columns.items()}
    numeric = [name for name, own in columns.items() if own.shape[1] == 2]
    for place, one in enumerate(numeric):
        for other in numeric[place + 1 :]:
            raw[one, other] = (columns[one][:, 0] * columns[other][:, 0])[:, None]
    found = {}
    for names, own in raw.items():
        basis = _orthonormal(own)
        if 0 < basis.shape[1] < len(units) - 2:
            found[names] = basis
    return found


def _orthonormal(columns: Floats) -> Floats:
    """A basis of what the columns span beside a constant."""
    if columns.shape[1] == 0:
        return columns
    left, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    basis: Floats = left[:, sizes > 1e-8 * max(1.0, float(sizes[0]))]
    return basis
