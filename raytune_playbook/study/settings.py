"""What a round is judged by, what it may spend, and what its gangs of workers need."""

from __future__ import annotations

import math
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import FrozenSpec

Goal: TypeAlias = Literal["minimize", "maximize"]
Over: TypeAlias = Literal["best", "last"]

GIB = 2**30  # bytes


class Objective(FrozenSpec):
    """What a trial is judged by (rules IN13 and QR5: it can be changed after the fact).

    Fields:
        metric: a metric of the workload's, such as ``"error"`` or ``"loss"``.
        split: which examples it is measured on.
        goal: whether small or large values are good.
        over: the best value over training (the default), or the last one.
    """

    metric: str = "error"
    split: Literal["train", "validation"] = "validation"
    goal: Goal = "minimize"
    over: Over = "best"

    @property
    def name(self) -> str:
        """How tables and plots call it, such as ``validation error``."""
        return f"{self.split} {self.metric}"

    def is_better(self, a: float, b: float) -> bool:
        """Whether ``a`` is strictly better than ``b``."""
        return a < b if self.goal == "minimize" else a > b

    def reaches(self, value: float | None, target: float) -> bool:
        """Whether a value is as good as a target; NaN and None are not."""
        return value is not None and not math.isnan(value) and not self.is_better(target, value)


class Budget(FrozenSpec):
    """How much a round may spend.

    Fields:
        num_trials: trials of the whole round, split evenly over its studies (rule SD9).
        max_train_steps: steps of every trial; one value for all trials (rule SD11).
        evaluation_interval_steps: an evaluation every so many steps, never by time (rule EV2).
        wall_clock_s: seconds after which the round stops cleanly, to be resumed; None for no limit.
        divergence_factor: a trial has diverged when its training loss over the last evaluation interval exceeds this
            many times its training loss at step 0 (rule IN3), as `raytune_playbook.analysis.judging.divergence` tests.
        num_best_checkpoints: a trial keeps the checkpoints of so many of its best evaluations, and its latest.
        target: a trial ends at its first evaluation whose objective is as good as this, for measuring the steps that a
            performance takes (rule BA6); None to train every trial for all steps.
        checkpoint_interval_steps: a checkpoint every so many steps, a multiple of ``evaluation_interval_steps``; None
            for one at every evaluation.
        whole_checkpoints: steps of evaluations whose checkpoints are kept whole, so that a training of another schedule
            can go on from there; others keep the weights alone.
        max_checkpoint_gib: the most that the checkpoints of all trials of the round take at once. Where they would
            take more, those of trials that have ended are deleted: the best trial of each study keeps its own, and
            then the best of the others do, as many as fit; None for no limit.
    """

    num_trials: int = Field(gt=0)
    max_train_steps: int = Field(gt=0)
    evaluation_interval_steps: int = Field(gt=0)
    wall_clock_s: float | None = Field(default=None, gt=0)
    divergence_factor: float = Field(default=2.0, gt=1)
    num_best_checkpoints: int = Field(default=1, gt=0)
    checkpoint_interval_steps: int | None = Field(default=None, gt=0)
    target: float | None = Field(default=None, allow_inf_nan=False)
    whole_checkpoints: tuple[int, ...] = ()
    max_checkpoint_gib: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _checkpoints_are_of_evaluations(self) -> Self:
        if self.checkpoint_interval_steps and self.checkpoint_interval_steps % self.evaluation_interval_steps:
            raise SpecError(
                "Budget.checkpoint_interval_steps: a checkpoint is written at an evaluation, so it must be a multiple "
                f"of evaluation_interval_steps, but got {self.checkpoint_interval_steps} with "
                f"{self.evaluation_interval_steps}; choose one, or None for every evaluation."
            )
        return self

    @model_validator(mode="after")
    def _whole_checkpoints_are_of_evaluations(self) -> Self:
        if others := [step for step in self.whole_checkpoints if step < 0 or step % self.evaluation_interval_steps]:
            raise SpecError(
                "Budget.whole_checkpoints: a checkpoint is written at an evaluation, so each must be a multiple of "
                f"evaluation_interval_steps={self.evaluation_interval_steps}, but got {others[0]}; round it down."
            )
        return self

    @model_validator(mode="after")
    def _evaluations_happen(self) -> Self:
        if self.evaluation_interval_steps > self.max_train_steps:
            raise SpecError(
                "Budget: evaluation_interval_steps <= max_train_steps must hold, but got "
                f"{self.evaluation_interval_steps} > {self.max_train_steps}; evaluate at least once during training."
            )
        return self


class Resources(FrozenSpec):
    """What one gang of workers needs; how many gangs run at once follows from the cluster unless stated.

    Fields:
        num_workers: Ray Train workers per gang; each trial runs on one whole gang.
        cpus_per_worker: logical CPUs of each; fractions share a core, as on a laptop. Each worker computes with
            ``max(1, floor(cpus_per_worker))`` threads whatever machine it is on.
        gpus_per_worker: GPUs of each.
        memory_per_worker_gib: memory of each, counted by the scheduler.
        accelerator_type: such as ``"H100"``; None for any.
        node_labels: only nodes with these Ray labels.
        placement: ``"packed"`` puts a gang on as few nodes as possible, ``"spread"`` on as many as it can.
        num_gangs: at most this many gangs; None for as many as fit.
        wait_for_nodes_s: how long to wait for a first gang's nodes before the round gives up.
        start_timeout_s: workers for which there is room must be ready within this; then they are started anew.
        pipeline_cpus: whole CPUs left to Ray Data beside the gangs.
        fresh_workers: start new workers for every trial (slow; for workloads that leak).
        collective_timeout_s: a collective between workers that takes longer than this is a fault.
        first_step_timeout_s: the same for a trial's first step, which may compile.
        progress_timeout_s: a trial that begins no batch for this long is ended and its gang restarted.
    """

    num_workers: int = Field(default=1, gt=0)
    cpus_per_worker: float = Field(default=1.0, gt=0)
    gpus_per_worker: float = Field(default=0.0, ge=0)
    memory_per_worker_gib: float | None = Field(default=None, gt=0)
    accelerator_type: str | None = None
    node_labels: dict[str, str] = Field(default_factory=dict)
    placement: Literal["packed", "spread"] = "packed"
    num_gangs: int | None = Field(default=None, gt=0)
    wait_for_nodes_s: float = Field(default=300.0, gt=0)
    start_timeout_s: float = Field(default=120.0, gt=0)
    pipeline_cpus: int = Field(default=1, gt=0)
    fresh_workers: bool = False
    collective_timeout_s: float = Field(default=60.0, gt=0)
    first_step_timeout_s: float = Field(default=600.0, gt=0)
    progress_timeout_s: float = Field(default=600.0, gt=0)

    @property
    def threads_per_worker(self) -> int:
        """Threads that torch computes with in each worker; part of what a trial's bits depend on."""
        return max(1, int(self.cpus_per_worker))
