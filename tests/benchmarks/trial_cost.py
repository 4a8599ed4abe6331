"""What a trial costs above its training, end to end, and how often gangs start.

``python -m tests.benchmarks.trial_cost`` runs rounds of 10 and of 30 trials of a given length on two warm gangs of two
workers and prints one JSON line. The cost per trial is what 20 more trials took beyond the ideal (their training time
over two gangs), divided by 20.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Mapping

import numpy as np
from rich.console import Console
from torch import Tensor, nn

from raytune_playbook import Batch, Budget, Float, Gangs, Objective, Resources, Round, Values, Workload, run

STEPS = 10


class Sleeper(Workload):
    """Trains a linear model, and sleeps at every step so that a trial lasts as long as it should."""

    def __init__(self, trial_s: float) -> None:
        self.trial_s = trial_s

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        columns = {"input": np.ones((64, 4), np.float32)}
        return {"train": columns, "validation": columns}

    def model(self, values: Values) -> nn.Module:
        return nn.Linear(4, 1)

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        if model.training:
            time.sleep(self.trial_s / STEPS)
        return model(batch["input"]).squeeze(1).square()


def round_of(num_trials: int, trial_s: float, resources: Resources) -> Round:
    return Round(
        name=f"sleep-{num_trials}",
        goal="What does a trial cost above its training?",
        workload=Sleeper(trial_s),
        nuisance={"learning_rate": Float(1e-3, 1e-2, scale="log")},
        objective=Objective(metric="loss"),
        budget=Budget(num_trials=num_trials, max_train_steps=STEPS, evaluation_interval_steps=STEPS),
        resources=resources,
    )


def measure(trial_s: float, few: int, many: int) -> dict[str, object]:
    resources = Resources(num_workers=2, cpus_per_worker=0.25, num_gangs=2)
    quiet = Console(file=io.StringIO())
    wall_s: dict[int, float] = {}
    train_s: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as storage, Gangs(resources, keep_idle_s=600) as gangs:
        run(round_of(4, 0.1, resources), storage=storage, gangs=gangs, console=quiet)  # starts the gangs
        for num_trials in (few, many):
            started_s = time.perf_counter()
            result = run(round_of(num_trials, trial_s, resources), storage=storage, gangs=gangs, console=quiet)
            wall_s[num_trials] = time.perf_counter() - started_s
            train_s[num_trials] = sum(result.trials["train_s"].to_pylist())
        starts = [gang.num_starts for gang in gangs.facts()]
    ideal_s = (many - few) * trial_s / 2
    extra_s = wall_s[many] - wall_s[few]
    return {
        "trial_s": trial_s,
        "wall_s": wall_s,
        "cost_per_trial_s": round((extra_s - ideal_s) / (many - few), 4),
        "cost_above_measured_training_s": round((extra_s - (train_s[many] - train_s[few]) / 2) / (many - few), 4),
        "ratio_to_ideal": round(extra_s / ideal_s, 4),
        "gang_starts": starts,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trial-s", type=float, default=3.0)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=30)
    options = parser.parse_args()
    print(json.dumps(measure(options.trial_s, options.few, options.many)))
