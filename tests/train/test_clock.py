"""Where the time of training steps goes: known sleeps come out where they belong (rules PI1 and PI3)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor, nn

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.order import BatchShare
from raytune_playbook.records.columns import TIME_COLUMNS
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.types import PIPELINE_STAGES
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.clock import TimedStep, times_by_part
from raytune_playbook.train.end import End
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.saved.checkpoints import TRAINING, Checkpoints
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Batch, Values, Workload
from tests.workers import Notes, Workers

STEPS, INTERVAL = 6, 2
FOLDER = "all/checkpoints/00000"
SLEEP_S = 0.05


def examples(num: int, seed: int) -> dict[str, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(num, 6)).astype(np.float32)
    return {"x": x, "label": (x[:, 0] > 0).astype(np.int64)}


ARRAYS = {"train": examples(64, 0), "validation": examples(16, 1)}


class Sleepy(Workload):
    """Two classes; its augmentation, its training loss and its evaluations take as long as they are told to."""

    def __init__(self, *, augment_s: float = 0.0, loss_s: float = 0.0, metrics_s: float = 0.0) -> None:
        self._augment_s, self._loss_s, self._metrics_s = augment_s, loss_s, metrics_s

    def defaults(self) -> Mapping[str, Value]:
        return {"batch_size": 8, "batch_norm": "sync"}

    def datasets(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        return ARRAYS

    def model(self, values: Values) -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))

    def augment(self, batch: Batch, values: Values) -> Batch:
        time.sleep(self._augment_s)
        return batch

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        time.sleep(self._loss_s)
        return F.cross_entropy(model(batch["x"]), batch["label"], reduction="none")

    def metrics(self, model: nn.Module, batch: Batch, values: Values) -> Mapping[str, Tensor]:
        time.sleep(self._metrics_s)
        return {"loss": F.cross_entropy(model(batch["x"]), batch["label"], reduction="none")}


class SlowData:
    """The usual batches, each after a wait, of which a part is for its copy to the device."""

    def __init__(self, trial: TrialSpec, group: Group, *, wait_s: float = 0.0, transfer_s: float = 0.0) -> None:
        self._wait_s, self._transfer_s = wait_s, transfer_s
        self._num_taken = 0
        self._batches = SharedBatches(TrialExamples(ARRAYS), trial, BatchShare(8, group.rank, group.size), group.device)

    def training_batches(self, trial: TrialSpec, *, first_batch: int) -> Iterator[Batch]:
        for batch in self._batches.training_batches(trial, first_batch=first_batch):
            time.sleep(self._wait_s + self._transfer_s)
            self._num_taken += 1
            yield batch

    def evaluation_batches(self, split: str) -> Iterable[Batch]:
        return self._batches.evaluation_batches(split)

    def transfer_wait_s(self) -> float:
        return self._num_taken * self._transfer_s

    def stage_seconds(self) -> Mapping[str, float]:
        return {"decode": self._num_taken * 0.25, "read": self._num_taken * 1.0}


class CutOff(Notes):
    """The trial is cut off where a step is begun."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def stepped(self, step: int) -> None:
        super().stepped(step)
        if step == self._at:
            raise InterruptedError


def a_trial() -> TrialSpec:
    return TrialSpec(
        study="all",
        index=0,
        seed=0,
        values=Sleepy().hyperparameters(),
        max_train_steps=STEPS,
        evaluation_interval_steps=INTERVAL,
        divergence_factor=1e6,
        objective=Objective(metric="loss"),
    )


def trained(
    group: Group | None = None, workload: Workload | None = None, *, wait_s: float = 0.0, transfer_s: float = 0.0
) -> tuple[End, list[dict[str, Any]]]:
    trial, group, notes = a_trial(), group or Group(), Notes()
    data = SlowData(trial, group, wait_s=wait_s, transfer_s=transfer_s)
    return train(TrialRun(workload or Sleepy(), trial, data, group, notes)), notes.of("step")


@pytest.fixture
def patched_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that goes on while somebody sleeps, and never else: what is measured is exact."""
    now_s = [1000.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: now_s[0])


def test_pi1_sleeps_come_out_where_they_were(patched_time):
    workload = Sleepy(augment_s=3 * SLEEP_S, loss_s=4 * SLEEP_S)
    end, steps = trained(workload=workload, wait_s=SLEEP_S, transfer_s=2 * SLEEP_S)
    expected = {"wait_s": 1, "transfer_s": 2, "sync_s": 0, "augment_s": 3, "compute_s": 4}
    assert len(steps) == STEPS
    for row in steps:
        found = {name: row[name] / SLEEP_S for name in TIME_COLUMNS}
        assert found == pytest.approx(expected, abs=1e-6)
    whole = end.training.time_by_part
    assert asdict(whole) == pytest.approx({name: sum(row[name] for row in steps) for name in TIME_COLUMNS})
    assert end.training.input_s == pytest.approx(whole.wait_s + whole.transfer_s + whole.augment_s)
    assert end.training.stages == dict.fromkeys(PIPELINE_STAGES, 0.0) | {"decode": STEPS * 0.25, "read": STEPS * 1.0}


def test_pi1_evaluations_are_no_part_of_the_steps(patched_time):
    training = trained(workload=Sleepy(metrics_s=SLEEP_S, loss_s=3 * SLEEP_S))[0].training
    num_evaluations = 1 + STEPS // INTERVAL
    assert training.evaluations_s == pytest.approx(2 * num_evaluations * SLEEP_S)  # of two splits, a batch each
    assert training.time_by_part.total_s == pytest.approx(STEPS * 3 * SLEEP_S)
    assert training.train_s == pytest.approx(training.time_by_part.total_s + training.evaluations_s)


def test_pi1_a_resumed_trial_has_the_times_of_both_attempts(tmp_path, patched_time):
    trial, group, storage = a_trial(), Group(), Storage(str(tmp_path))
    cut = CutOff(5)
    with pytest.raises(InterruptedError):
        slow = SlowData(trial, group, wait_s=SLEEP_S)
        train(TrialRun(Sleepy(metrics_s=SLEEP_S), trial, slow, group, cut), Checkpoints(storage, FOLDER, trial))
    notes = Notes()
    end = train(TrialRun(Sleepy(), trial, SlowData(trial, group), group, notes), Checkpoints(storage, FOLDER, trial))
    assert end.first_step == 4
    assert notes.of("step")[:4] == cut.of("step")  # their times, too
    training = end.training
    assert training.time_by_part.wait_s == pytest.approx(4 * SLEEP_S) == sum(row["wait_s"] for row in notes.of("step"))
    assert training.evaluations_s == pytest.approx(6 * SLEEP_S)
    assert training.train_s == pytest.approx(10 * SLEEP_S)
    assert end.training.stages["decode"] == STEPS * 0.25  # what the first attempt lost is not counted


def test_a_checkpoint_of_another_version_is_left_and_its_trial_starts_anew(tmp_path, caplog):
    trial, group, storage = a_trial(), Group(), Storage(str(tmp_path))
    first = Notes()
    train(TrialRun(Sleepy(), trial, SlowData(trial, group), group, first), Checkpoints(storage, FOLDER, trial))
    path = tmp_path / FOLDER / str(STEPS) / TRAINING
    content = torch.load(path, weights_only=True)
    del content["format"]
    content["training"]["measured"]["steps"] = content["training"]["measured"]["steps"][:, :4]
    torch.save(content, path)
    again = Notes()
    end = train(TrialRun(Sleepy(), trial, SlowData(trial, group), group, again), Checkpoints(storage, FOLDER, trial))
    assert (end.outcome, end.first_step) == ("completed", 0)
    assert [row["loss"] for row in again.of("step")] == [row["loss"] for row in first.of("step")]
    assert "another version of this package" in caplog.text


# ------------------------------------------------------------------ a device that works behind the host


class Event:
    """Stands for a CUDA event that the device has passed at a time of its own, in milliseconds."""

    def __init__(self, at_ms: float) -> None:
        self._at_ms = at_ms

    def elapsed_time(self, other: Event) -> float:
        return other._at_ms - self._at_ms


def test_pi1_on_a_device_the_rest_of_an_intervals_time_is_computing():
    started_s = time.perf_counter() - 1.0  # the interval took a second
    steps = [
        TimedStep(torch.device("cuda"), started_s=started_s + place, spans=[
            ("data", Event(0), Event(50)),
            ("synchronization", Event(60), Event(70)),
            ("augmentation", Event(70), Event(100)),
            ("synchronization", Event(200), Event(230)),
        ])
        for place in range(2)
    ]  # fmt: skip
    steps[1].transfer_s = 0.02
    steps[1].spans[0] = ("data", Event(0), Event(10))  # less than the host waited, as the device was busy
    one, other = times_by_part(steps)
    rest_s = one.compute_s
    assert rest_s == other.compute_s == pytest.approx((1.0 - 0.2) / 2, abs=0.1)
    assert astuple(one) == pytest.approx((0.05, 0.0, 0.04, 0.03, rest_s))
    assert astuple(other) == pytest.approx((0.0, 0.01, 0.04, 0.03, rest_s))


# ------------------------------------------------------------------ two workers


def slowed(group: Group) -> tuple[dict[str, End], float]:
    ends = {
        "one waits": trained(group, wait_s=group.rank * 2 * SLEEP_S)[0],
        "one augments": trained(group, Sleepy(augment_s=group.rank * 2 * SLEEP_S))[0],
    }
    with group.clock.step(group.device) as timed:
        group.subgroups(1).sum_(torch.ones(1))
    return ends, timed.seconds("synchronization")


@pytest.fixture(scope="module")
def found(workers: Workers) -> list[Any]:
    """What each of two workers measured."""
    return workers.start(slowed, 2).found()


@pytest.mark.parametrize(("case", "column"), [("one waits", "wait_s"), ("one augments", "augment_s")])
def test_pi1_who_waits_for_a_worker_without_a_batch_waits_in_the_collectives(found, case, column):
    first, slow = (ends[case].training.time_by_part for ends, _ in found)
    all_s = STEPS * 2 * SLEEP_S
    assert getattr(slow, column) >= all_s * 0.99  # which it slept
    assert slow.input_s > first.input_s
    assert first.sync_s > slow.sync_s


def test_pi1_the_collectives_of_subgroups_are_timed_too(found):
    assert all(seconds > 0 for _, seconds in found)
