"""How good the best of N trials is, by search: quasi-random, pseudo-random and Bayesian, on recorded digits trials.

The candidates are the real trials of `digits_trials.parquet` (see `record_digits_trials`), judged by the lowest
validation loss over training; those that diverged are infeasible. Every search has these candidates only, may take each
once, and is told its recorded outcome. So judging is search over a finite set, without a surrogate of the workload that
would favour a search with similar assumptions, and no trial that is drawn twice can look like luck.

* ``halton``: points of `raytune_playbook.search.halton`, another seed for each repeat (that of the table is another
  still), each answered by the nearest candidate left in the unit cube.
* ``random``: uniform points, answered in the same way.
* ``bayes``: `raytune_playbook.search.bayes.propose` among the candidates that are left, one trial at a time, after the
  first `NUM_INITIAL` points of ``halton`` with the same seed, which its budget counts. (Its proposals are not snapped
  too: the nearest candidates of a corner that it would like to see lie half a cube away, so that it would go on asking
  for that corner, and be judged by the holes of the table.)

Repeats differ in nothing but the seed of the search, 0, 1, 2, ...; intervals are over repeats, and say nothing of other
workloads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.search import halton
from raytune_playbook.search.bayes import propose
from raytune_playbook.search.evidence import Evidence, Observation, distances, observations, unit_points
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from tests.benchmarks.record_digits_trials import TABLE, recorded_round

NUM_INITIAL = 8
"""Two quasi-random points for each dimension before the first proposal of Bayesian search."""

BUDGETS = (30, 60)
BAYES_BUDGET = 30
CHEAP_REPEATS = 200
"""Repeats of the searches that cost nothing."""

NUM_RESAMPLES = 4000

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """The recorded trials of one space, of which a search may take each once."""

    space: dict[str, Hyperparameter]
    trials: tuple[Observation, ...]

    @cached_property
    def cube(self) -> Points:
        """Their places in the unit cube, ``(num_trials, num_dims)``."""
        return unit_points(self.space, [trial.values for trial in self.trials])

    def nearest(self, point: Points, taken: list[int]) -> int:
        """The trial nearest to ``point``, ``(num_dims,)``, among those that are left."""
        away = distances(self.space, self.cube, point)
        away[taken] = np.inf
        return int(np.argmin(away))

    def snapped(self, points: Points) -> list[int]:
        """The trials that answer ``points``, ``(num_points, num_dims)``, one after the other."""
        taken: list[int] = []
        for point in points:
            taken.append(self.nearest(point, taken))
        return taken

    def best(self, taken: list[int]) -> float:
        """The lowest validation loss of the trials taken."""
        return min(loss for row in taken if (loss := self.trials[row].objective) is not None)


def recorded() -> Candidates:
    """The candidates that `record_digits_trials` has recorded."""
    [study] = recorded_round().studies
    return Candidates(study.space, tuple(observations(study.space, trials_of(pq.read_table(TABLE)))))


def by_halton(candidates: Candidates, budget: int, seed: int) -> list[int]:
    """Quasi-random search."""
    return candidates.snapped(halton.points(budget, len(candidates.space), seed))


def by_random(candidates: Candidates, budget: int, seed: int) -> list[int]:
    """Pseudo-random search."""
    return candidates.snapped(np.random.default_rng(seed).random((budget, len(candidates.space))))


def by_bayes(candidates: Candidates, budget: int, seed: int) -> list[int]:
    """Bayesian search, one trial after the other."""
    points = [trial.values for trial in candidates.trials]
    taken = by_halton(candidates, NUM_INITIAL, seed)
    while len(taken) < budget:
        seen = [candidates.trials[row] for row in taken]
        taken.append(points.index(propose(candidates.space, Evidence(seen, [], "minimize"), seed, among=points)))
    return taken


def best_of_table(bayes_repeats: int) -> dict[str, object]:
    """Medians over repeats of the best validation loss, ``[median, low, high]`` with 95% bootstrap intervals.

    Beside them stand the differences of medians from Bayesian to quasi-random search; below zero: Bayesian is better.
    """
    candidates = recorded()
    started_s = time.perf_counter()
    bayes = _losses(candidates, by_bayes, BAYES_BUDGET, bayes_repeats)
    took_s = time.perf_counter() - started_s
    losses = {
        f"{name}_{budget}": _losses(candidates, search, budget, CHEAP_REPEATS)
        for name, search in (("halton", by_halton), ("random", by_random))
        for budget in BUDGETS
    }
    losses[f"bayes_{BAYES_BUDGET}"] = bayes
    completed = [trial.objective for trial in candidates.trials if trial.objective is not None]
    return {
        "num_candidates": len(candidates.trials),
        "infeasible_share": round(1 - len(completed) / len(candidates.trials), 3),
        "best_candidate": round(min(completed), 5),
        "repeats": {"bayes": bayes_repeats, "others": CHEAP_REPEATS},
        "seconds_per_proposal": round(took_s / bayes_repeats / (BAYES_BUDGET - NUM_INITIAL), 3),
        "best_validation_loss": {name: _median(values) for name, values in losses.items()},
        "bayes_minus": {name: _median(bayes, losses[name]) for name in losses if name.startswith("halton")},
    }


def _losses(
    candidates: Candidates, search: Callable[[Candidates, int, int], list[int]], budget: int, repeats: int
) -> Points:
    """The best loss of each repeat, ``(repeats,)``."""
    return np.array([candidates.best(search(candidates, budget, seed)) for seed in range(repeats)])


def _median(values: Points, minus: Points | None = None) -> list[float]:
    """The median, or the difference of two, with its 95% bootstrap interval."""
    rng = np.random.default_rng(0)
    center, draws = np.median(values), np.median(rng.choice(values, (NUM_RESAMPLES, len(values))), axis=1)
    if minus is not None:
        center = center - np.median(minus)
        draws = draws - np.median(rng.choice(minus, (NUM_RESAMPLES, len(minus))), axis=1)
    return [round(float(number), 5) for number in (center, *np.quantile(draws, (0.025, 0.975)))]
