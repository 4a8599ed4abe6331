"""Records real trials that searches are compared on: ``python -m tests.benchmarks.record_digits_trials``.

Command:   python -m tests.benchmarks.record_digits_trials [--storage DIR] [--output FILE]
Machine:   2 CPU cores, no GPU
Duration:  8 minutes (measured while the machine was busy)
Expected:  450 trials in tests/benchmarks/digits_trials.parquet, below 100 kB; some of them diverge

One round of this package over the digits workload: scrambled Halton points in a wide space of four hyperparameters,
judged by validation loss, for error counts of some 360 examples tie. Space, seed and budget were fixed before any
search was tried on the table. The file holds the round's trials table as it was recorded, readable by
`raytune_playbook.analysis.trials.trials_of`, and in its schema's metadata the study's specification (``study``) and
the round's record (``round``), both JSON.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from raytune_playbook import Budget, Float, Objective, Resources, Round, run
from raytune_playbook.workloads.digits import DigitsResNet

NUM_TRIALS = 450
TABLE = Path(__file__).with_name("digits_trials.parquet")


def recorded_round(num_trials: int = NUM_TRIALS) -> Round:
    """The round whose trials the table holds; fewer trials are its first ones."""
    return Round(
        name="digits_search",
        goal="Which search finds the lowest validation loss with the fewest trials?",
        workload=DigitsResNet(),
        nuisance={
            "learning_rate": Float(0.003, 3.0, scale="log"),
            "momentum": Float(0.5, 0.99, scale="log_one_minus"),
            "weight_decay": Float(1e-5, 1e-1, scale="log"),
            "dropout": Float(0.0, 0.6),
        },
        fixed={"schedule": "cosine"},
        objective=Objective(metric="loss", split="validation"),
        budget=Budget(num_trials=num_trials, max_train_steps=80, evaluation_interval_steps=20),
        resources=Resources(num_workers=1, cpus_per_worker=0.5, num_gangs=2),
        seed=20,
    )


def main() -> None:
    """Runs the round, or goes on with it, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", help="folder to keep the round in; one that is cut off goes on there")
    parser.add_argument("--output", type=Path, default=TABLE)
    parser.add_argument("--num-trials", type=int, default=NUM_TRIALS)
    arguments = parser.parse_args()
    round_ = recorded_round(arguments.num_trials)
    with tempfile.TemporaryDirectory() as scratch:
        result = run(round_, storage=arguments.storage or scratch)
        record, trials = result.store.round(), result.trials.sort_by("index")
    metadata = {"study": round_.studies[0].model_dump_json(), "round": record.model_dump_json()}
    pq.write_table(trials.replace_schema_metadata(metadata), arguments.output, compression="zstd")


if __name__ == "__main__":
    main()
