"""The table of real trials that searches are compared on (`tests.benchmarks.best_of`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.search.evidence import observations, unit_points
from raytune_playbook.study.hyperparameters.hyperparameter import Float

TABLE = Path(__file__).parents[1] / "benchmarks" / "digits_trials.parquet"


def test_the_table_holds_enough_trials_all_over_the_space_and_is_small():
    space = {
        "dropout": Float(0.0, 0.6),
        "learning_rate": Float(0.003, 3.0, scale="log"),
        "momentum": Float(0.5, 0.99, scale="log_one_minus"),
        "weight_decay": Float(1e-5, 1e-1, scale="log"),
    }
    seen = observations(space, trials_of(pq.read_table(TABLE)))
    assert len(seen) >= 400 and any(each.infeasible for each in seen)
    counts = [np.histogram(units, bins=10, range=(0, 1))[0] for units in unit_points(space, [s.values for s in seen]).T]
    assert np.min(counts) >= 0.8 * len(seen) / 10
    assert TABLE.stat().st_size < 100_000
