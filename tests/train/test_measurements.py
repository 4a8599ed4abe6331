"""Measurements of a trial: durations, and rows on their way from the device."""

from __future__ import annotations

import itertools

import pytest
import torch

from raytune_playbook.records.types import TimeByPart
from raytune_playbook.train.clock import TimedStep
from raytune_playbook.train.measurements import Measurements, Timer

CPU = torch.device("cpu")


@pytest.fixture
def durations(monkeypatch: pytest.MonkeyPatch):
    """A function that makes what is timed next take the given seconds, one after another."""

    def take(*seconds: float) -> None:
        ends = itertools.accumulate(each for took_s in seconds for each in (1.0, took_s))
        monkeypatch.setattr("raytune_playbook.train.measurements.time.perf_counter", lambda: next(ends))

    return take


@pytest.mark.parametrize(
    ("took_s", "mean_s"), [((), None), ((100.0,), None), ((100.0, 1.0), 1.0), ((100.0, 1.0, 2.0, 6.0), 3.0)]
)
def test_the_first_duration_is_left_out_of_the_mean_and_counts_in_all(durations, took_s, mean_s):
    durations(*took_s)
    timer = Timer()
    for _ in took_s:
        with timer.once():
            pass
    assert (timer.num, timer.all_s, timer.mean_s) == (len(took_s), sum(took_s), mean_s)


def test_rows_have_each_number_in_its_own_column_and_go_on_from_a_saved_state():
    """Three reports, with an evaluation between them, through what a checkpoint holds."""
    measurements, reports = Measurements(2, CPU), []
    for first in (1, 3):
        for step in (first, first + 1):
            timed = TimedStep(CPU, started_s=0.0, ended_s=10.0, transfer_s=1.0)
            timed.parts_s |= {"data": 1.0 + step, "synchronization": 0.25, "augmentation": 0.125}
            numbers = (torch.tensor(step + value) for value in (0.5, 0.75, 0.0))
            measurements.add_step(*numbers, 0.1 * step, timed)
        rows, stop = measurements.flush(first + 1)
        reports += [rows, measurements.add_evaluations([{"step": first + 1, "split": "validation", "error": 0.5}])]
        assert stop  # the third number is above 0
    assert reports[0] == [
        {
            "step": step,
            "split": "step",
            "loss": step + 0.5,
            "gradient_norm": step + 0.75,
            "learning_rate": 0.1 * step,
            **vars(TimeByPart(wait_s=step, transfer_s=1.0, sync_s=0.25, augment_s=0.125, compute_s=8.625 - step)),
        }
        for step in (1, 2)
    ]
    loaded = Measurements(2, CPU)
    loaded.load_state_dict(measurements.state_dict())
    assert list(loaded.reports()) == reports
    assert (loaded.initial_loss, loaded.last_mean_loss) == (1.5, 4.0)
    assert loaded.by_step("error", "validation") == {2: 0.5, 4: 0.5}
