"""Trials that want too much memory are infeasible, and cost their gang nothing: not even a bit of later numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from raytune_playbook import (
    Batch,
    Budget,
    Discrete,
    Float,
    Gangs,
    Objective,
    Resources,
    Round,
    Values,
    Workload,
    run,
)
from raytune_playbook.study.frozen import Value

RESOURCES = Resources(num_workers=2, cpus_per_worker=0.5, num_gangs=1, memory_per_worker_gib=1.0)


class Wide(Workload):
    """A regression whose hidden layer is as wide as it is told."""

    def defaults(self) -> Mapping[str, Value]:
        return {"width": 8, "batch_size": 8}

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        inputs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
        columns = {"input": inputs, "target": inputs.sum(1)}
        return {"train": columns, "validation": columns}

    def model(self, values: Values) -> nn.Module:
        return nn.Sequential(nn.Linear(4, values.integer("width")), nn.ReLU(), nn.Linear(values.integer("width"), 1))

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        return (model(batch["input"]).squeeze(1) - batch["target"]).square()


def round_of(widths: tuple[int, int]) -> Round:
    return Round(
        name="wide",
        goal="What is too wide?",
        workload=Wide(),
        scientific={"width": Discrete(widths)},
        nuisance={"learning_rate": Float(1e-3, 1e-2, scale="log")},
        objective=Objective(metric="loss"),
        budget=Budget(num_trials=4, max_train_steps=4, evaluation_interval_steps=2),
        resources=RESOURCES,
    )


def test_a_trial_that_wants_too_much_is_infeasible_and_the_next_on_its_gang_is_as_the_one_before(
    cluster, tmp_path, quiet
):
    trials = {}
    with Gangs(RESOURCES) as gangs:
        for name, other in (
            ("before", 200_000),
            ("mixed", 100_000_000),
        ):  # so wide that the first layer alone is 1.5 GiB
            result = run(round_of((8, other)), storage=str(tmp_path / name), gangs=gangs, console=quiet)
            trials[name] = {(t["values.width"], t["index"]): t for t in result.trials.to_pylist()}
        assert [gang.num_starts for gang in gangs.facts()] == [1]
    for index in range(2):
        wide = trials["mixed"][100_000_000, index]
        assert wide["num_parameters"] is not None
        assert (wide["outcome"], len(wide["attempts"])) == ("infeasible", 1)
        assert wide["reason"].startswith("out of memory of 1 GiB (Resources.memory_per_worker_gib): can't allocate")
        ours, theirs = (trials[name][8, index] for name in ("mixed", "before"))
        assert ours["outcome"] == theirs["outcome"] == "completed"
        assert ours["objective"] == theirs["objective"]
        for name in trials:  # rule IN20, whatever its gang has trained before
            assert 2**26 < trials[name][8, index]["peak_memory_bytes"] < 2**30
        more = trials["before"][200_000, index]["peak_memory_bytes"] - trials["before"][8, index]["peak_memory_bytes"]
        assert more > 8 * 32 * 200_000  # a worker evaluates 32 examples, with 4 bytes before the ReLU and after it
        assert wide["peak_memory_bytes"] > 2**26
