"""Rule ST5: `check-initial` as a user runs it, on digits whose labels are true and on digits whose labels are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from raytune_playbook.cli import main
from raytune_playbook.records.procedures import newest_procedure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore

JOB = """
import numpy as np
from raytune_playbook import Budget, Float, Objective, Resources, Round
from raytune_playbook.workloads.digits import DigitsResNet


class Digits(DigitsResNet):
    def datasets(self):
        splits = super().datasets()
        if LABELS_ARE_TRUE:
            return splits
        rng = np.random.default_rng(0)
        return {name: {**columns, "label": rng.permutation(columns["label"])} for name, columns in splits.items()}


round = Round(
    name=NAME,
    goal="How low does the error get?",
    workload=Digits(),
    nuisance={"learning_rate": Float(0.003, 0.3, scale="log")},
    fixed={"width": 8, "depth": 1, "shift_pixels": 1},
    objective=Objective(metric="error"),
    budget=Budget(num_trials=8, max_train_steps=60, evaluation_interval_steps=20),
    resources=Resources(num_gangs=1),
)
"""


def checked(cluster: Cluster, folder: Path, capsys, *, are_true: bool) -> tuple[RoundStore, str]:
    name = "true" if are_true else "shuffled"
    job = folder / f"{name}.py"
    job.write_text(JOB.replace("LABELS_ARE_TRUE", str(are_true)).replace("NAME", repr(name)))
    storage = str(folder / "rounds")
    assert main(["check-initial", str(job), "--storage", storage, "--address", cluster.address]) == 0
    return RoundStore(Storage(storage), name), capsys.readouterr().out


def test_st5_an_initial_configuration_is_checked_against_chance(cluster, tmp_path, capsys):
    store, printed = checked(cluster, tmp_path, capsys, are_true=True)
    record = newest_procedure(store, "check-initial")
    assert record is not None
    numbers = record.numbers
    assert record.is_good
    assert numbers["value"] < 0.2 < 0.85 < numbers["chance"] < 0.95
    assert (numbers["p_value"], numbers["is_better_than_chance"], numbers["is_fast"]) == (0.005, True, True)
    assert numbers["is_simple"] is False  # the images are shifted
    assert 0 < numbers["time_per_step_s"] * 60 < numbers["train_s"] < numbers["round_s"]
    assert "Not as simple as it could be: augmented training examples" in printed
    assert record.verdict in printed
    assert (
        record.next[0].command == f"raytune-playbook batch-size {tmp_path / 'true.py'} --storage {tmp_path / 'rounds'}"
    )
    assert record.rounds == ("true-check-initial-initial",)
    page = Path(tmp_path, "rounds", record.rounds[0], "report/index.html").read_text()
    assert record.verdict in page
    json.dumps(numbers)  # plain numbers, none of numpy's

    _, printed = checked(cluster, tmp_path, capsys, are_true=True)
    assert "This was done before" in printed

    store, printed = checked(cluster, tmp_path, capsys, are_true=False)
    record = newest_procedure(store, "check-initial")
    assert record is not None
    assert record.is_good is False
    assert record.numbers["is_better_than_chance"] is False
    assert "not clearly better than chance: don't tune it yet" in printed
    assert record.next[0].command == record.command


@pytest.mark.parametrize("hours", ["0", "-1", "nan"])
def test_st5_a_time_that_is_none_is_refused_in_one_sentence(tmp_path, capsys, hours):
    job = tmp_path / "job.py"
    job.write_text(JOB.replace("LABELS_ARE_TRUE", "True").replace("NAME", "'true'"))
    storage = tmp_path / "rounds"
    assert main(["check-initial", str(job), "--round-hours", hours, "--storage", str(storage)]) == 2
    assert "round_hours: above 0 is needed" in capsys.readouterr().err
    assert not storage.exists()
