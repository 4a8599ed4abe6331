"""Release measurements of the searches: ``python -m tests.benchmarks.search`` prints one JSON line.

Three tables:

* ``discrepancy``: `raytune_playbook.search.halton` and other ways to draw points, all by SciPy's centered discrepancy,
  as ratios of medians over seeds to SciPy's scrambled Halton sequence (below 1: more even), with 95% bootstrap
  intervals. Optuna's sampler, which is slow, is asked for fewer seeds and for up to 100 points.
* ``time_10000x10``: 10,000 points in 10 dimensions, ours and each other's, as ratios of medians of interleaved repeats
  (below 1: ours is faster). Optuna's, whose cost grows with every trial, is measured once.
* ``best_of``: the best of N trials by search, on recorded trials; see `tests.benchmarks.best_of`.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import optuna
import scipy
from scipy.stats import qmc

from raytune_playbook.search import halton
from tests.benchmarks.best_of import best_of_table

DIMS = (2, 4, 8, 16, 32)
NUM_POINTS = (20, 50, 100, 1000)
SLOW_NUM_POINTS = 1000  # cells this large have a third of the seeds
NUM_RESAMPLES = 2000

Points = npt.NDArray[np.float64]
Sampler = Callable[[int, int, int], Points]


def ours(num_points: int, num_dims: int, seed: int) -> Points:
    """Returns this package's points, ``(num_points, num_dims)``."""
    return halton.points(num_points, num_dims, seed)


def scipy_halton(num_points: int, num_dims: int, seed: int) -> Points:
    """Returns SciPy's scrambled Halton points, ``(num_points, num_dims)``."""
    return np.asarray(qmc.Halton(d=num_dims, scramble=True, seed=seed).random(num_points))


def scipy_sobol(num_points: int, num_dims: int, seed: int) -> Points:
    """Returns SciPy's scrambled Sobol points, ``(num_points, num_dims)``, cut from the next power of two."""
    log2 = math.ceil(math.log2(num_points))
    return np.asarray(qmc.Sobol(d=num_dims, scramble=True, seed=seed).random_base2(log2)[:num_points])


def uniform(num_points: int, num_dims: int, seed: int) -> Points:
    """Returns pseudo-random uniform points, ``(num_points, num_dims)``."""
    return np.random.default_rng(seed).random((num_points, num_dims))


def optuna_sobol(num_points: int, num_dims: int, seed: int) -> Points:
    """Returns the points that Optuna's QMC sampler asks for by default, scrambled, ``(num_points, num_dims)``."""
    return _optuna("sobol", num_points, num_dims, seed)


def optuna_halton(num_points: int, num_dims: int, seed: int) -> Points:
    """Returns the points that Optuna's QMC sampler asks for with scrambled Halton, ``(num_points, num_dims)``."""
    return _optuna("halton", num_points, num_dims, seed)


def _optuna(qmc_type: str, num_points: int, num_dims: int, seed: int) -> Points:
    """Asks Optuna for points; its first one is drawn at random, and counts, as it does in a study of so many trials."""
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.QMCSampler(
        qmc_type=qmc_type, scramble=True, seed=seed, warn_independent_sampling=False, warn_asynchronous_seeding=False
    )
    study = optuna.create_study(sampler=sampler)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        f"x{dim:02d}": optuna.distributions.FloatDistribution(0.0, 1.0) for dim in range(num_dims)
    }
    rows = []
    for _ in range(num_points):
        trial = study.ask(space)
        rows.append([trial.params[name] for name in space])
        study.tell(trial, 0.0)
    return np.clip(np.array(rows), 0.0, 1.0)


def discrepancies(sampler: Sampler, seeds: int, num_points: tuple[int, ...] = NUM_POINTS) -> dict[str, Points]:
    """Returns the centered discrepancies of every seed by cell, ``"dims x points"``, each with shape ``(seeds,)``."""
    cells = {}
    for num_dims in DIMS:
        for budget in num_points:
            of_cell = max(2, seeds // 3) if budget >= SLOW_NUM_POINTS else seeds
            cells[f"{num_dims}x{budget}"] = np.array(
                [qmc.discrepancy(sampler(budget, num_dims, seed), method="CD") for seed in range(of_cell)]
            )
    return cells


def compare(cells: dict[str, Points], reference: dict[str, Points]) -> dict[str, object]:
    """Returns each cell's ratio of medians with its 95% bootstrap interval, and their geometric mean."""
    rng = np.random.default_rng(0)
    table: dict[str, tuple[float, float, float]] = {}
    for cell, values in cells.items():
        base = reference[cell]
        draws = np.median(rng.choice(values, (NUM_RESAMPLES, len(values))), axis=1)
        draws /= np.median(rng.choice(base, (NUM_RESAMPLES, len(base))), axis=1)
        low, high = np.quantile(draws, (0.025, 0.975))
        ratio = float(np.median(values) / np.median(base))
        table[cell] = (round(ratio, 4), round(float(low), 4), round(float(high), 4))
    ratios = [ratio for ratio, _, _ in table.values()]
    return {
        "geometric_mean": round(math.exp(statistics.fmean(math.log(ratio) for ratio in ratios)), 4),
        "worst_lower_bound": max(low for _, low, _ in table.values()),
        "ratio_low_high": table,
    }


def time_table(repeats: int = 31) -> dict[str, object]:
    """Returns milliseconds for 10,000 points in 10 dimensions by sampler, and how ours compare: ours / theirs."""
    quick, slow = (ours, scipy_halton, scipy_sobol, uniform), (optuna_sobol, optuna_halton)
    took: dict[str, list[float]] = {sampler.__name__: [] for sampler in (*quick, *slow)}
    ours(1, 10, 0)
    for _ in range(repeats):
        for sampler in quick:
            took[sampler.__name__].append(_milliseconds(sampler))
    for sampler in slow:
        took[sampler.__name__].append(_milliseconds(sampler))
    medians = {name: statistics.median(times) for name, times in took.items()}
    return {
        "ms": {name: round(median, 3) for name, median in medians.items()},
        "ratio": {name: float(f"{medians['ours'] / median:.3g}") for name, median in medians.items() if name != "ours"},
    }


def _milliseconds(sampler: Sampler) -> float:
    """Returns how long 10,000 points in 10 dimensions took."""
    begin = time.perf_counter()
    sampler(10_000, 10, 0)
    return 1000 * (time.perf_counter() - begin)


def first_call_seconds(num_dims: int = 32, repeats: int = 5) -> float:
    """Returns the median seconds of the first call for a new seed, which chooses its scramble."""
    took = []
    for repeat in range(repeats):
        begin = time.perf_counter()
        ours(1, num_dims, 10**9 + repeat)
        took.append(time.perf_counter() - begin)
    return round(statistics.median(took), 4)


def discrepancy_table(seeds: int, optuna_seeds: int) -> dict[str, object]:
    """Returns each sampler's comparison with SciPy's scrambled Halton sequence."""
    reference = discrepancies(scipy_halton, seeds)
    table: dict[str, object] = {
        sampler.__name__: compare(discrepancies(sampler, seeds), reference) for sampler in (ours, scipy_sobol, uniform)
    }
    for sampler in (optuna_sobol, optuna_halton):
        few = discrepancies(sampler, min(seeds, optuna_seeds), NUM_POINTS[:-1])
        table[sampler.__name__] = compare(few, reference)
    return table


def main() -> None:
    """Measures and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=300, help="seeds of a cell; a third at 1,000 points")
    parser.add_argument("--optuna-seeds", type=int, default=20, help="seeds of Optuna's cells, up to 100 points")
    parser.add_argument("--bayes-repeats", type=int, default=30, help="repeats of Bayesian search of 30 trials")
    arguments = parser.parse_args()
    result = {
        "benchmark": "search",
        "seeds": arguments.seeds,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "optuna": optuna.__version__,
        "machine": platform.machine(),
        "time_10000x10": time_table(),
        "first_call_32_dims_s": first_call_seconds(),
        "discrepancy": discrepancy_table(arguments.seeds, arguments.optuna_seeds),
        "best_of": best_of_table(arguments.bayes_repeats),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
