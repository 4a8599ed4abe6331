"""Release measurements of the quasi-random sequence: ``python -m tests.benchmarks.search`` prints one JSON line.

It compares `raytune_playbook.search.halton` with other ways to draw points, all by SciPy's centered discrepancy, as
ratios of medians over seeds to SciPy's scrambled Halton sequence (below 1: more even), with 95% bootstrap intervals;
and the time of 10,000 points in 10 dimensions, as the ratio of medians of interleaved repeats.
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
import scipy
from scipy.stats import qmc

from raytune_playbook.search import halton

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
    import optuna

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


def time_ratio(repeats: int = 31) -> dict[str, float]:
    """Returns milliseconds for 10,000 points in 10 dimensions, ours and SciPy's in turn, and their ratio."""
    took: dict[str, list[float]] = {"ours": [], "scipy": []}
    ours(1, 10, 0)
    for _ in range(repeats):
        for name, sampler in (("ours", ours), ("scipy", scipy_halton)):
            begin = time.perf_counter()
            sampler(10_000, 10, 0)
            took[name].append(1000 * (time.perf_counter() - begin))
    mine, theirs = statistics.median(took["ours"]), statistics.median(took["scipy"])
    return {"ours_ms": round(mine, 3), "scipy_ms": round(theirs, 3), "ratio": round(mine / theirs, 3)}


def first_call_seconds(num_dims: int = 32, repeats: int = 5) -> float:
    """Returns the median seconds of the first call for a new seed, which chooses its scramble."""
    took = []
    for repeat in range(repeats):
        begin = time.perf_counter()
        ours(1, num_dims, 10**9 + repeat)
        took.append(time.perf_counter() - begin)
    return round(statistics.median(took), 4)


def main() -> None:
    """Measures and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=300, help="seeds of a cell; a third at 1,000 points")
    parser.add_argument("--optuna-seeds", type=int, default=20, help="seeds of Optuna's cells, up to 100 points")
    arguments = parser.parse_args()
    reference = discrepancies(scipy_halton, arguments.seeds)
    result: dict[str, object] = {
        "benchmark": "search",
        "seeds": arguments.seeds,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.machine(),
        "time_10000x10": time_ratio(),
        "first_call_32_dims_s": first_call_seconds(),
    }
    for sampler in (ours, scipy_sobol, uniform):
        result[sampler.__name__] = compare(discrepancies(sampler, arguments.seeds), reference)
    for sampler in (optuna_sobol, optuna_halton):
        try:
            few = discrepancies(sampler, min(arguments.seeds, arguments.optuna_seeds), NUM_POINTS[:-1])
            result[sampler.__name__] = compare(few, reference)
        except ImportError:
            result[sampler.__name__] = None
    print(json.dumps(result))


if __name__ == "__main__":
    main()
