"""What a trial has measured: on the device until the next reporting interval, on the host from then on.

A checkpoint holds all of it, so that an attempt which goes on from there reports what the cut-off one did, whether or
not its messages arrived; 32 bytes for each step.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from raytune_playbook.records.types import STEP_COLUMNS, TRAIN_STEPS_SPLIT

Row: TypeAlias = Mapping[str, float | int | str | None]


@dataclass
class Timer:
    """The mean duration of what happens again and again; the first time may compile or allocate, and is left out."""

    num: int = 0
    total_s: float = 0.0

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        started_s = time.perf_counter()
        yield
        self.num += 1
        if self.num > 1:
            self.total_s += time.perf_counter() - started_s

    @property
    def mean_s(self) -> float | None:
        return self.total_s / (self.num - 1) if self.num > 1 else None


@dataclass
class Progress:
    """What is known of a trial at any moment, also when it ends early.

    ``wait_s`` and ``earlier_s`` count the time of earlier attempts up to the checkpoint from which this one went on.
    """

    step: int = 0
    first_step: int = 0
    num_parameters: int = 0
    wait_s: float = 0.0
    earlier_s: float = 0.0
    started_s: float = field(default_factory=time.perf_counter)
    steps: Timer = field(default_factory=Timer)
    evaluations: Timer = field(default_factory=Timer)


class Measured:
    """The rows of one trial, the same on every worker but for ``wait_s``.

    Args:
        interval: steps between two reports.
        device: where steps leave their numbers.

    Fields:
        initial_loss: training loss of the first step.
        last_mean_loss: mean training loss over the last interval.
    """

    def __init__(self, interval: int, device: torch.device) -> None:
        self._buffer = torch.zeros(interval, 3, device=device)
        self._host: list[tuple[float, float]] = []
        self._steps = torch.zeros(0, len(STEP_COLUMNS), dtype=torch.float64)
        self._new_steps: list[Tensor] = []
        self._evaluations: list[Row] = []
        self.initial_loss = math.nan
        self.last_mean_loss = math.nan

    def add(self, loss: Tensor, norm: Tensor, stop: Tensor, learning_rate: float, wait_s: float) -> None:
        """One step's numbers; nothing is fetched from the device."""
        self._buffer[len(self._host)] = torch.stack([loss, norm, stop])
        self._host.append((learning_rate, wait_s))

    def flush(self, step: int) -> tuple[list[Row], bool]:
        """The rows of the interval that ends at ``step``, and whether any worker asked to stop; one fetch in all."""
        fetched = self._buffer[: len(self._host)].double().cpu()
        rows = torch.cat([fetched[:, :2], torch.tensor(self._host, dtype=torch.float64)], dim=1)
        self._host.clear()
        self._new_steps.append(rows)
        losses = rows[:, 0].tolist()
        if math.isnan(self.initial_loss):
            self.initial_loss = losses[0]
        self.last_mean_loss = sum(losses) / len(losses)
        return _rows(rows, step - len(rows) + 1), bool((fetched[:, 2] > 0).any())

    def evaluated(self, rows: list[Row]) -> list[Row]:
        """Remember an evaluation's rows, and return them."""
        self._evaluations += rows
        return rows

    def by_step(self, metric: str, split: str) -> dict[int, float | None]:
        """A metric's value at every evaluation; None where it was not measured."""
        found: dict[int, float | None] = {}
        for row in self._evaluations:
            if row["split"] == split:
                found[int(row["step"] or 0)] = number_of(row, metric)
        return found

    def reports(self) -> Iterator[list[Row]]:
        """All rows so far, in the reports in which they were made."""
        first = 1
        for step, rows in itertools.groupby(self._evaluations, key=lambda row: int(row["step"] or 0)):
            if step >= first:
                yield _rows(self._all_steps()[first - 1 : step], first)
                first = step + 1
            yield list(rows)

    def state_dict(self) -> dict[str, Any]:
        """All of it, right after an evaluation: plain numbers and one tensor of shape (num_steps, 4)."""
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


def number_of(row: Row, metric: str) -> float | None:
    """A row's value of a metric; None where it was not measured."""
    value = row.get(metric)
    return float(value) if isinstance(value, int | float) else None


def _rows(steps: Tensor, first: int) -> list[Row]:
    """Rows of a tensor of shape (num_steps, 4), whose first is step number ``first``."""
    return [
        {"step": first + i, "split": TRAIN_STEPS_SPLIT, **dict(zip(STEP_COLUMNS, numbers, strict=True))}
        for i, numbers in enumerate(steps.tolist())
    ]
