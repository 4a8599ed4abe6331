"""What a trial has measured: on the device until the next reporting interval, on the host from then on.

A checkpoint holds all of it, so that an attempt which goes on from there reports what the cut-off one did, whether or
not its messages arrived; 64 bytes for each step.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from raytune_playbook.errors import Infeasible
from raytune_playbook.records.columns import (
    GRADIENT_NORM,
    LEARNING_RATE,
    LOSS,
    SPLIT,
    STEP,
    STEP_COLUMNS,
    TIME_COLUMNS,
    TRAIN_STEPS_SPLIT,
    MeasurementRow,
)
from raytune_playbook.records.types import PIPELINE_STAGES, TimeByPart, Training
from raytune_playbook.study.checks.disk_price import CheckpointSize
from raytune_playbook.train.clock import TimedStep, times_by_part
from raytune_playbook.train.group import Group

_SECONDS = ("train_s", "evaluations_s", *TIME_COLUMNS, *PIPELINE_STAGES)
"""The times of a trial in the order in which a checkpoint holds them."""


@dataclass
class Timer:
    """The duration of what happens again and again.

    Fields:
        num, all_s: how often it happened, and how long it took in all.
        later_s: all but the first time, which may compile or allocate and is left out of the mean.
    """

    num: int = 0
    all_s: float = 0.0
    later_s: float = 0.0

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        started_s = time.perf_counter()
        yield
        took_s = time.perf_counter() - started_s
        self.num += 1
        self.all_s += took_s
        self.later_s += took_s if self.num > 1 else 0.0

    @property
    def mean_s(self) -> float | None:
        return self.later_s / (self.num - 1) if self.num > 1 else None


@dataclass
class TrainingSoFar:
    """What is known of a trial at any moment, also when it ends early.

    Times are this worker's own.

    Fields:
        time_by_part: of this attempt's training steps, up to the last reporting interval.
        earlier_s: of earlier attempts up to the checkpoint from which this one went on, as `seconds` gave them.
        metrics: what evaluations of each split have reported in this attempt, each with its newest value.
        checkpoint: the size of what a checkpoint would be, of a trial that keeps none.
    """

    step: int = 0
    first_step: int = 0
    num_parameters: int = 0
    time_by_part: TimeByPart = field(default_factory=TimeByPart)
    earlier_s: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(_SECONDS, 0.0))
    started_s: float = field(default_factory=lambda: time.perf_counter())
    steps: Timer = field(default_factory=Timer)
    evaluations: Timer = field(default_factory=Timer)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    checkpoint: CheckpointSize | None = None

    def count(self, rows: Iterable[MeasurementRow]) -> None:
        """Add the times of new training steps."""
        for row in rows:
            self.time_by_part += TimeByPart(**{name: number_of(row, name) or 0.0 for name in TIME_COLUMNS})

    def note(self, rows: Iterable[MeasurementRow]) -> None:
        """Remember what an evaluation reported."""
        for row in rows:
            values = {name: number_of(row, name) for name in row if name not in (STEP, SPLIT)}
            of_split = self.metrics.setdefault(str(row[SPLIT]), {})
            of_split.update({name: value for name, value in values.items() if value is not None})

    def seconds(self, stages: Mapping[str, float]) -> dict[str, float]:
        """All times so far, those of earlier attempts included, by name.

        Args:
            stages: what the input pipeline was busy with in this attempt.
        """
        now = {
            "train_s": time.perf_counter() - self.started_s,
            "evaluations_s": self.evaluations.all_s,
            **asdict(self.time_by_part),
            **{stage: stages.get(stage, 0.0) for stage in PIPELINE_STAGES},
        }
        return {name: self.earlier_s[name] + now[name] for name in _SECONDS}

    def training(
        self, stages: Mapping[str, float], *, best_checkpoint_step: int | None, peak_memory_bytes: int | None
    ) -> Training:
        """What training has come to by now."""
        seconds = self.seconds(stages)
        return Training(
            num_steps=self.step,
            num_parameters=self.num_parameters,
            train_s=seconds["train_s"],
            time_by_part=TimeByPart(**{name: seconds[name] for name in TIME_COLUMNS}),
            evaluations_s=seconds["evaluations_s"],
            stages={stage: seconds[stage] for stage in PIPELINE_STAGES},
            best_checkpoint_step=best_checkpoint_step,
            peak_memory_bytes=peak_memory_bytes,
        )

    def gathered(self, stages: Mapping[str, float], group: Group) -> Tensor:
        """All times so far of every worker, of shape (num_workers, num_times), for a checkpoint."""
        own = torch.tensor(list(self.seconds(stages).values()), dtype=torch.float64, device=group.device)
        return torch.stack(group.gather(own)).cpu()

    def go_on_from(self, gathered: Tensor, group: Group) -> None:
        """Take over the times of the attempts before this one."""
        self.earlier_s = dict(zip(_SECONDS, gathered[group.rank].tolist(), strict=True))


class Measurements:
    """The rows of one trial, the same on every worker but for the times.

    Args:
        interval: steps between two reports.
        device: where steps leave their numbers.

    Fields:
        initial_loss: training loss of the first step.
        last_mean_loss: mean training loss over the last interval.
    """

    def __init__(self, interval: int, device: torch.device) -> None:
        self._buffer = torch.zeros(interval, 3, device=device)
        self._host: list[tuple[float, TimedStep]] = []
        self._steps = torch.zeros(0, len(STEP_COLUMNS), dtype=torch.float64)
        self._new_steps: list[Tensor] = []
        self._evaluations: list[MeasurementRow] = []
        self.initial_loss = math.nan
        self.last_mean_loss = math.nan

    def add_step(self, loss: Tensor, norm: Tensor, stop: Tensor, learning_rate: float, times: TimedStep) -> None:
        """One step's numbers, and its times, which are known when it is over; nothing is fetched from the device."""
        self._buffer[len(self._host)] = torch.stack([loss, norm, stop])
        self._host.append((learning_rate, times))

    def flush(self, step: int) -> tuple[list[MeasurementRow], bool]:
        """The rows of the interval that ends at ``step``, and whether any worker asked to stop; one fetch in all."""
        losses, norms, stops = self._buffer[: len(self._host)].double().cpu().unbind(1)
        times = times_by_part([timed for _, timed in self._host])
        columns = {
            LOSS: losses.tolist(),
            GRADIENT_NORM: norms.tolist(),
            LEARNING_RATE: [rate for rate, _ in self._host],
            **{name: [getattr(each, name) for each in times] for name in TIME_COLUMNS},
        }
        steps = torch.tensor([columns[name] for name in STEP_COLUMNS], dtype=torch.float64).T.contiguous()
        self._host.clear()
        self._new_steps.append(steps)
        if math.isnan(self.initial_loss):
            self.initial_loss = columns[LOSS][0]
        self.last_mean_loss = sum(columns[LOSS]) / len(steps)
        return _rows(steps, step - len(steps) + 1), bool((stops > 0).any())

    def add_evaluations(self, rows: list[MeasurementRow]) -> list[MeasurementRow]:
        """Remember the rows of evaluations at one step, and return them."""
        self._evaluations += rows
        return rows

    def by_step(self, metric: str, split: str) -> dict[int, float | None]:
        """A metric's value at every evaluation; None where it was not measured."""
        found: dict[int, float | None] = {}
        for row in self._evaluations:
            if row[SPLIT] == split:
                found[int(row[STEP] or 0)] = number_of(row, metric)
        return found

    def reports(self) -> Iterator[list[MeasurementRow]]:
        """All rows so far, in the reports in which they were made."""
        first = 1
        for step, rows in itertools.groupby(self._evaluations, key=lambda row: int(row[STEP] or 0)):
            if step >= first:
                yield _rows(self._all_steps()[first - 1 : step], first)
                first = step + 1
            yield list(rows)

    def state_dict(self) -> dict[str, Any]:
        """All of it, right after an evaluation: plain numbers, and a tensor with the columns `STEP_COLUMNS`."""
        return {
            "steps": self._all_steps(),
            "evaluations": [dict(row) for row in self._evaluations],
            "initial_loss": self.initial_loss,
            "last_mean_loss": self.last_mean_loss,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._steps, self._new_steps = state["steps"].cpu(), []
        self._evaluations = list(state["evaluations"])
        self.initial_loss, self.last_mean_loss = state["initial_loss"], state["last_mean_loss"]

    def _all_steps(self) -> Tensor:
        if self._new_steps:
            self._steps, self._new_steps = torch.cat([self._steps, *self._new_steps]), []
        return self._steps


def number_of(row: MeasurementRow, metric: str) -> float | None:
    """A row's value of a metric; None where it was not measured."""
    value = row.get(metric)
    return float(value) if isinstance(value, int | float) else None


def require_finite(rows: Iterable[MeasurementRow]) -> None:
    """Check the rows of training steps (rule IN3).

    Raises:
        Infeasible: the loss or the gradient norm of a step is not finite.
    """
    for row in rows:
        for name in (LOSS, GRADIENT_NORM):
            value = row[name]
            if isinstance(value, float) and not math.isfinite(value):
                not_finite = "NaN" if math.isnan(value) else "infinity"
                what = "training loss" if name == LOSS else "gradient norm"
                raise Infeasible(f"{not_finite}: {what} at step {row[STEP]}")


def _rows(steps: Tensor, first: int) -> list[MeasurementRow]:
    """Rows of a tensor with a column for each of `STEP_COLUMNS`, whose first is step number ``first``."""
    return [
        {STEP: first + i, SPLIT: TRAIN_STEPS_SPLIT, **dict(zip(STEP_COLUMNS, numbers, strict=True))}
        for i, numbers in enumerate(steps.tolist())
    ]
