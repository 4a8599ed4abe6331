"""One trial, from its specification to its outcome; reads top to bottom.

Runs in one process or under any torch process group, with any iterator of batches. Nothing is fetched from the device
between reporting intervals (rule PI3).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from raytune_playbook.analysis.divergence import diverged
from raytune_playbook.errors import Infeasible, SpecError
from raytune_playbook.records.types import TRAIN_STEPS_SPLIT
from raytune_playbook.study.seeds import shared_seed, worker_seed
from raytune_playbook.study.spec import TrialSpec
from raytune_playbook.train.batch_norm import convert_batch_norm
from raytune_playbook.train.end import End
from raytune_playbook.train.evaluation import evaluate, require_per_example
from raytune_playbook.train.group import FlatGradients, Group, require_equal
from raytune_playbook.train.optimizers import optimizer
from raytune_playbook.train.schedules import schedule, total_steps
from raytune_playbook.train.workload import Batch, Values, Workload

Row = Mapping[str, float | int | str | None]


class Data(Protocol):
    """Where a worker's batches come from."""

    def training_batches(self, trial: TrialSpec) -> Iterator[Batch]:
        """This worker's slice of global batch 0, 1, 2, ... without end."""

    def evaluation_batches(self, split: str) -> Iterable[Batch]:
        """This worker's padded batches of a split: ``train`` (a fixed sample) or ``validation``."""


class Watcher(Protocol):
    """Who follows a trial from outside; every worker has one."""

    def measured(self, rows: list[Row]) -> None:
        """New measurements; the same on all workers, so that one may write them."""

    def stepped(self, step: int) -> None:
        """A step was begun; cheap, called at every step."""

    def evaluated(self) -> None:
        """An evaluation batch was begun, which is progress too."""

    def wants_stop(self) -> bool:
        """Whether the trial is to end at the next reporting interval; one worker's wish is enough."""


def train(workload: Workload, trial: TrialSpec, data: Data, group: Group, watcher: Watcher) -> End:
    """Train one trial and evaluate it at step 0 and at every interval.

    Raises:
        SpecError: the workload or a value breaks a rule.
        Exception: whatever the workload raises; an `Infeasible` of its own becomes an outcome.
    """
    started_s = time.perf_counter()
    values = Values(trial.values)
    state = _State()
    try:
        if reason := workload.infeasible(values):
            raise Infeasible(f"declared: {reason}")
        stopped = _train(workload, trial, values, data, group, watcher, state)
        outcome, reason = (None, None) if stopped else ("completed", None)
    except Infeasible as infeasible:
        outcome, reason = "infeasible", infeasible.reason
    return End(
        outcome=outcome,  # type: ignore[arg-type] # mypy widens the literals of a tuple
        reason=reason,
        num_steps=state.step,
        num_parameters=state.num_parameters,
        train_s=time.perf_counter() - started_s,
        wait_s=state.wait_s,
        step_s=state.steps.mean_s,
        evaluation_s=state.evaluations.mean_s,
    )


@dataclass
class _State:
    """What is known of a trial at any moment, also when it ends early."""

    step: int = 0
    num_parameters: int = 0
    wait_s: float = 0.0
    steps: _Timer = field(default_factory=lambda: _Timer())
    evaluations: _Timer = field(default_factory=lambda: _Timer())


@dataclass
class _Timer:
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


def _train(
    workload: Workload, trial: TrialSpec, values: Values, data: Data, group: Group, watcher: Watcher, state: _State
) -> bool:
    # ------------------------------------------------------------------ model, optimizer, schedule
    model = _model(workload, trial, values, group)
    state.num_parameters = sum(parameter.numel() for parameter in model.parameters())
    gradients = FlatGradients(model, group)
    update_rule = optimizer(model, values)
    learning_rate = schedule(values, trial.max_train_steps)
    clipping_norm = values.optional_float("clipping_norm")
    if clipping_norm is not None and clipping_norm <= 0:
        raise SpecError(f"clipping_norm must be above 0, but got {clipping_norm:g}; use None for no clipping.")
    num_steps = total_steps(values, trial.max_train_steps)
    interval = trial.evaluation_interval_steps
    batches = data.training_batches(trial)
    log = _StepLog(interval, group)

    def evaluations() -> list[Row]:
        with state.evaluations.once():
            return _evaluations(workload, model, values, data, group, watcher, step=state.step)

    # ------------------------------------------------------------------ evaluation before the first step
    watcher.measured(evaluations())

    for step in range(num_steps):
        watcher.stepped(step)
        # -------------------------------------------------------------- one step
        with state.steps.once():
            wait_started_s = time.perf_counter()
            batch = next(batches)
            wait_s = time.perf_counter() - wait_started_s
            torch.manual_seed(worker_seed("dropout", trial, rank=group.rank, step=step))
            gradients.zero_()
            per_example = workload.loss(model, batch, values)
            require_per_example("Workload.loss", per_example, len(next(iter(batch.values()))))
            loss = per_example.mean()
            loss.backward()
            scalars = gradients.average(loss.detach(), float(watcher.wants_stop()))
            norm = gradients.norm()
            if clipping_norm is not None:
                gradients.scale_((clipping_norm / norm).clamp(max=1.0))
            update_rule.update(learning_rate(step))
            log.add(scalars[0], norm, scalars[1], learning_rate(step), wait_s)
        state.step, state.wait_s = step + 1, state.wait_s + wait_s

        # -------------------------------------------------------------- reporting interval
        if state.step % interval == 0 or state.step == num_steps:
            rows, stop = log.flush(state.step)
            watcher.measured(rows)
            _require_finite(rows)
            watcher.measured(evaluations())
            if stop and state.step < num_steps:
                return True

    # ------------------------------------------------------------------ divergence, by the stated test
    if diverged(log.initial_loss, log.last_mean_loss, trial.divergence_factor):
        raise Infeasible(
            f"diverged: training loss {log.last_mean_loss:.4g} over the last interval exceeds "
            f"{trial.divergence_factor:g} x {log.initial_loss:.4g} at step 0"
        )
    return False


def _model(workload: Workload, trial: TrialSpec, values: Values, group: Group) -> nn.Module:
    torch.manual_seed(shared_seed("initialization", trial))
    model = workload.model(values)
    statistics = values.str("batch_norm")
    ghost = {"virtual_batch_size": values.int("virtual_batch_size")} if statistics == "ghost" else {}
    model = convert_batch_norm(model, statistics=statistics, group=group, **ghost).to(group.device)
    require_equal("the initial model", [*model.parameters(), *model.buffers()], group)
    return model.train()


def _evaluations(
    workload: Workload, model: nn.Module, values: Values, data: Data, group: Group, watcher: Watcher, *, step: int
) -> list[Row]:
    """Training error on a fixed sample and validation error, by the same metrics in evaluation mode (rule EV7)."""
    rows: list[Row] = []
    for split in ("train", "validation"):
        batches = _watched(data.evaluation_batches(split), watcher)
        metrics = evaluate(workload, model, batches, values, group)
        rows.append({"step": step, "split": split, **metrics})
    return rows


def _watched(batches: Iterable[Batch], watcher: Watcher) -> Iterator[Batch]:
    for batch in batches:
        watcher.evaluated()
        yield batch


def _require_finite(rows: list[Row]) -> None:
    for row in rows:
        for name in ("loss", "gradient_norm"):
            value = row[name]
            if isinstance(value, float) and not math.isfinite(value):
                kind = "NaN" if math.isnan(value) else "infinity"
                what = "training loss" if name == "loss" else "gradient norm"
                raise Infeasible(f"{kind}: {what} at step {row['step']}")


class _StepLog:
    """What every step leaves on the device until the next reporting interval."""

    COLUMNS = ("loss", "gradient_norm", "stop")

    def __init__(self, interval: int, group: Group) -> None:
        self._buffer = torch.zeros(interval, len(self.COLUMNS), device=group.device)
        self._host: list[tuple[float, float]] = []
        self.initial_loss = math.nan
        self.last_mean_loss = math.nan

    def add(self, loss: Tensor, norm: Tensor, stop: Tensor, learning_rate: float, wait_s: float) -> None:
        self._buffer[len(self._host)] = torch.stack([loss, norm, stop])
        self._host.append((learning_rate, wait_s))

    def flush(self, step: int) -> tuple[list[Row], bool]:
        """The rows of the interval that ends at ``step``, and whether any worker asked to stop; one fetch in all."""
        fetched = self._buffer[: len(self._host)].tolist()
        first = step - len(fetched) + 1
        rows: list[Row] = [
            {
                "step": first + i,
                "split": TRAIN_STEPS_SPLIT,
                "loss": loss,
                "gradient_norm": norm,
                "learning_rate": learning_rate,
                "wait_s": wait_s,
            }
            for i, ((loss, norm, _), (learning_rate, wait_s)) in enumerate(zip(fetched, self._host, strict=True))
        ]
        losses = [loss for loss, _, _ in fetched]
        if math.isnan(self.initial_loss):
            self.initial_loss = losses[0]
        self.last_mean_loss = sum(losses) / len(losses)
        self._host.clear()
        return rows, any(stop > 0 for _, _, stop in fetched)
