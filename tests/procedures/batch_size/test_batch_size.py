"""Batch sizes on a real gang: a real out-of-memory, fresh workers, a target, and what was done before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raytune_playbook import (
    Batch,
    Budget,
    Float,
    Gangs,
    Objective,
    Resources,
    Round,
    Split,
    Values,
    Workload,
    batch_size,
)
from raytune_playbook.errors import SpecError
from raytune_playbook.records.procedures import newest_procedure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.frozen import Value

RESOURCES = Resources(num_workers=1, num_gangs=1, memory_per_worker_gib=1.0)


class Hungry(Workload):
    """A linear regression that takes 8 MiB of memory for each example that it trains on: 64 of them fit, 128 never."""

    def defaults(self) -> Mapping[str, Value]:
        return {"batch_size": 32}

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        inputs = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
        columns = {"input": inputs, "target": inputs.sum(1)}
        return {split: {name: values[:num] for name, values in columns.items()} for split, num in SPLITS.items()}

    def model(self, values: Values) -> nn.Module:
        return nn.Linear(4, 1)

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        loss = (model(batch["input"]).squeeze(1) - batch["target"]).square()
        if not model.training:
            return loss
        return loss + 0.0 * (batch["target"][:, None] + torch.zeros(2**21)).sum(1)


class Divided(Hungry):
    """The same examples, which are divided when they are read."""

    def datasets(self) -> Split:
        return Split(super().datasets()["train"], train=0.8, validation=0.2)


SPLITS = {"train": 1000, "validation": 200}


def round_of(**changed: object) -> Round:
    fields: dict[str, object] = {
        "name": "hungry",
        "goal": "Which batch size?",
        "workload": Hungry(),
        "nuisance": {"learning_rate": Float(0.02, 0.2, scale="log")},
        "objective": Objective(metric="loss"),
        "budget": Budget(num_trials=2, max_train_steps=20, evaluation_interval_steps=5),
        "resources": RESOURCES,
    }
    return Round(**(fields | changed))


@pytest.fixture
def refused(tmp_path, quiet, monkeypatch):
    """Says why a choice of the batch size is refused, before anything is started or written."""
    monkeypatch.setattr("raytune_playbook.procedures.batch_size.batch_size.procedure", None)

    def refuse(round_: Round, **options: object) -> str:
        with pytest.raises(SpecError) as refusal:
            batch_size(round_, storage=str(tmp_path), console=quiet, **options)
        assert not list(tmp_path.iterdir())
        return str(refusal.value)

    return refuse


def test_bad_input_is_refused_in_a_sentence_before_anything_is_written(refused):
    assert "with no target; give both, or neither." in refused(round_of(), num_trials=5)
    assert "at least 2, but got 1" in refused(round_of(), num_trials=1, steps_to_target=0.5)
    assert "must leave a power of two times the 1 worker(s)" in refused(round_of(), min=33, max=60)
    assert refused(round_of(), min=900) == (
        "--min: the smallest size from 900 on is 1,024, but no batch is larger than the training set, which has at "
        "most 1,000 examples; give less."
    )
    assert "the smallest size from 5,000 on is 8,192" in refused(round_of(workload=Divided()), min=5000)
    assert "tunes none; make learning_rate nuisance." in refused(round_of(nuisance={}), steps_to_target=0.5)


def test_ba1_ba4_and_ba6_memory_ends_the_doubling_and_each_size_reaches_the_target(cluster, tmp_path, quiet):
    storage = str(tmp_path)
    with Gangs(RESOURCES) as gangs:
        pool = gangs.pool
        ask = {"min": 32, "steps_to_target": 1.0, "num_trials": 2, "storage": storage, "gangs": gangs, "console": quiet}
        record = batch_size(round_of(), **ask)
        assert gangs.pool is not pool  # whose workers had trained the sizes before
        (gang,) = gangs.facts()
        assert gang.num_starts == 1  # and one start did for the rest
        rounds = list(record.rounds)
        of = {name.removeprefix("hungry-batch-size-"): RoundStore(Storage(storage), name) for name in rounds}
        assert list(of) == ["probe", "32", "64", "128", "proof-64", "steps"]
        (too_large,) = of["128"].trials().to_pylist()
        assert too_large["reason"].startswith("out of memory of 1 GiB (Resources.memory_per_worker_gib)")
        numbers = record.numbers
        assert (numbers["largest_feasible"], numbers["ended_by"], numbers["sizes"]) == (64, "memory", [32, 64])
        for size, per_s, step_s in zip(numbers["sizes"], numbers["examples_per_s"], numbers["s_per_step"], strict=True):
            (trial,) = of[str(size)].trials().to_pylist()
            assert trial["peak_memory_bytes"] > size * 2**23
            assert per_s * step_s == pytest.approx(size)
        (proven,) = of["proof-64"].trials().to_pylist()
        assert (proven["outcome"], proven["values.batch_size"]) == ("completed", 64)

        steps = of["steps"].trials().to_pylist()
        assert len(steps) == 2 * len(numbers["target_sizes"])
        for size, fewest in zip(numbers["target_sizes"], numbers["steps_to_target"], strict=True):
            of_size = [trial for trial in steps if trial["values.batch_size"] == size]
            reached = [trial["num_steps"] for trial in of_size if trial["objective"] <= 1.0]
            assert fewest == min(reached)
            assert all(trial["num_steps"] in (20, trial["best_step"]) for trial in of_size)
        assert numbers["least_time"] in numbers["target_sizes"]
        assert newest_procedure(RoundStore(Storage(storage), "hungry"), "batch-size") == record
        page = (tmp_path / of["steps"].name / "report" / "index.html").read_text()
        assert "Nothing to compare: trials end when they reach a validation loss of 1" in page

        again = batch_size(round_of(), **ask)
        assert again == record
        assert "This was done before" in quiet.file.getvalue()
        assert {path.name for path in tmp_path.iterdir()} == {*rounds, "hungry"}
