"""Shares of variance that hyperparameters explain, and that pairs explain together: fANOVA of a random forest.

A tree is constant over boxes of the unit cube, so that all averages over other hyperparameters are sums over pairs of
boxes, with nothing to be drawn (Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter
Importance", 2014). For boxes b with value v and volume w, and a set U of hyperparameters, the variance of the average
over all others is the sum over pairs of boxes b, c of

    v_b w_b v_c w_c  times, for each hyperparameter in U,  |b and c| / (|b| |c|)

of lengths along it, where v has mean zero. The forest's function is the mean of its trees', so that pairs of boxes of
different trees count as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from raytune_playbook.analysis.sampled.points import Floats

MAX_BOXES = 1500
"""Of all trees together: the work grows with their square."""

MIN_TREES, MAX_TREES = 6, 32

MAX_PAIRED = 6
"""Of so many dimensions all pairs are looked at."""


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares of the variance of the forest's function over the cube.

    Fields:
        single: that each dimension explains by itself, of shape (num_dimensions,).
        pairs: that two explain together, beyond what each does: by places.
    """

    single: Floats
    pairs: dict[tuple[int, int], float]


def explained_shares(units: Floats, values: Floats, max_boxes: int = MAX_BOXES) -> Shares:
    """What explains values at points of the unit cube.

    Args:
        units: of shape (num_points, num_dimensions).
        values: of shape (num_points,).
        max_boxes: of all trees, about.
    """
    num_points, num_dimensions = units.shape
    # Small boxes where points are few; as many trees as keep the number of boxes bounded.
    min_leaf = max(1, MIN_TREES * num_points // max_boxes)
    num_trees = max(MIN_TREES, min(MAX_TREES, max_boxes * min_leaf // max(num_points, 1)))
    forest = RandomForestRegressor(num_trees, min_samples_leaf=min_leaf, random_state=0)
    forest.fit(units, values)
    lows, highs, means = _boxes(forest, num_dimensions)
    lengths = highs - lows
    weights = lengths.prod(axis=1) / num_trees
    masses = weights * (means - float(weights @ means))
    ratios = [_ratios(lows[:, d], highs[:, d], lengths[:, d]) for d in range(num_dimensions)]
    variance = float(masses @ _product(ratios) @ masses)
    if variance <= 1e-12 * max(1.0, float(np.square(means).max())):
        return Shares(np.zeros(num_dimensions), {})
    single = np.array([_share(masses, ratio, variance) for ratio in ratios])
    pairs = {
        (a, b): max(0.0, _share(masses, ratios[a] * ratios[b], variance) - float(single[a] + single[b]))
        for a, b in itertools.combinations(_strongest(masses, ratios), 2)
    }
    return Shares(single, pairs)


def _share(masses: Floats, ratio: Floats, variance: float) -> float:
    return max(0.0, float(masses @ ratio @ masses) / variance)


def _strongest(masses: Floats, ratios: list[Floats]) -> list[int]:
    """The dimensions whose pairs are looked at: where they are many, those without which the least is explained."""
    if len(ratios) <= MAX_PAIRED:
        return list(range(len(ratios)))
    without = [float(masses @ _product([*ratios[:d], *ratios[d + 1 :]]) @ masses) for d in range(len(ratios))]
    return sorted(np.argsort(without)[:MAX_PAIRED].tolist())


def _ratios(lows: Floats, highs: Floats, lengths: Floats) -> Floats:
    """How much of each other the intervals cover, by both lengths, of shape (num_boxes, num_boxes)."""
    # In place: most of the time goes to fresh memory.
    covered: Floats = np.minimum(highs[:, None], highs[None, :])
    other = np.maximum(lows[:, None], lows[None, :])
    np.subtract(covered, other, out=covered)
    np.maximum(covered, 0.0, out=covered)
    np.multiply(lengths[:, None], lengths[None, :], out=other)
    return np.divide(covered, other, out=covered)


def _product(ratios: Sequence[Floats]) -> Floats:
    """Element by element, of one or more of one shape."""
    product = ratios[0].copy()
    for ratio in ratios[1:]:
        product *= ratio
    return product


def _boxes(forest: RandomForestRegressor, num_dimensions: int) -> tuple[Floats, Floats, Floats]:
    """The boxes of all trees: their lower and upper corners, of shape (num_boxes, num_dimensions), and their values."""
    corners: list[tuple[Floats, Floats]] = []
    means: list[float] = []
    for fitted in forest.estimators_:
        tree = fitted.tree_
        open_nodes = [(0, np.zeros(num_dimensions), np.ones(num_dimensions))]
        while open_nodes:
            node, low, high = open_nodes.pop()
            left, right, place = tree.children_left[node], tree.children_right[node], tree.feature[node]
            if left == right:
                corners.append((low, high))
                means.append(float(tree.value[node, 0, 0]))
                continue
            left_high, right_low = high.copy(), low.copy()
            left_high[place] = right_low[place] = tree.threshold[node]
            open_nodes += [(left, low, left_high), (right, right_low, high)]
    lows, highs = (np.stack(side) for side in zip(*corners, strict=True))
    return lows, highs, np.asarray(means)
