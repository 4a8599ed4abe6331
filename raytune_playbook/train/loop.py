"""One trial, from its specification to its outcome; reads top to bottom.

Runs in one process or under any torch process group, with any iterator of batches. Nothing is fetched from the device
between reporting intervals (rule PI3). Given a storage for checkpoints, a trial that was cut off goes on from its
latest one, bit for bit (rule CK2).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from torch import nn

from raytune_playbook.analysis.divergence import diverged
from raytune_playbook.errors import Infeasible
from raytune_playbook.records.columns import SPLIT, STEP, MeasurementRow, average_split
from raytune_playbook.study.evaluation_settings import CHOSEN, FULL_VALIDATION, is_sampled
from raytune_playbook.study.seeds import shared_seed, worker_seed
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.batch_norm import convert_batch_norm
from raytune_playbook.train.checkpoints import Checkpoints
from raytune_playbook.train.end import End
from raytune_playbook.train.evaluation import SavePredictions, evaluate, examine, require_per_example, rescore
from raytune_playbook.train.group import FlatGradients, Group, require_equal
from raytune_playbook.train.measurements import Measured, Progress, require_finite
from raytune_playbook.train.memory import limited_memory
from raytune_playbook.train.precision import autocast, compile_, mean_loss
from raytune_playbook.train.profiler import Profile, Tracer, tracing
from raytune_playbook.train.update.averaging import weight_average
from raytune_playbook.train.update.clipping import clipping_factor, clipping_threshold
from raytune_playbook.train.update.optimizers import optimizer
from raytune_playbook.train.update.schedules import schedule, total_steps
from raytune_playbook.train.workload import Batch, Values, Workload


class Data(Protocol):
    """Where a worker's batches come from."""

    def training_batches(self, trial: TrialSpec, *, first_batch: int) -> Iterator[Batch]:
        """This worker's slice of global batch first_batch, first_batch + 1, ... without end."""

    def evaluation_batches(self, split: str) -> Iterable[Batch]:
        """This worker's padded batches of a split, with the columns that `evaluate` needs.

        Splits: ``train`` (a fixed sample), ``validation`` (all, or a fixed sample), ``validation_full`` (all) and
        ``chosen`` (a few).
        """

    def transfer_wait_s(self) -> float:
        """Seconds so far in which whoever takes the training batches has waited for a copy to the device."""

    def stage_seconds(self) -> Mapping[str, float]:
        """Seconds so far by one of `PIPELINE_STAGES` in which training batches were being made, waiting excluded."""


class Watcher(Protocol):
    """Who follows a trial from outside; every worker has one."""

    def measured(self, rows: list[MeasurementRow]) -> None:
        """New measurements; the same on all workers, so that one may write them."""

    def stepped(self, step: int) -> None:
        """A step was begun; cheap, called at every step."""

    def evaluated(self) -> None:
        """An evaluation batch was begun, which is progress too."""

    def wants_stop(self) -> bool:
        """Whether the trial is to end at the next reporting interval; one worker's wish is enough."""


def train(
    workload: Workload,
    trial: TrialSpec,
    data: Data,
    group: Group,
    watcher: Watcher,
    checkpoints: Checkpoints | None = None,
    save_predictions: SavePredictions | None = None,
    *,
    memory_limit_gib: float | None = None,
    profile: Profile | None = None,
) -> End:
    """Train one trial and evaluate it at step 0 and at every interval, from its latest checkpoint on if it has one.

    Args:
        checkpoints: where the trial's are kept; None for a trial that keeps none and starts at step 0.
        save_predictions: keeps the predictions on chosen examples of every evaluation (rule EV4); None for none.
        memory_limit_gib: this process's own memory beyond which the trial is infeasible; None for no limit.
        profile: steps whose trace this worker saves (rule PI4); None for none.

    Raises:
        SpecError: the workload or a value breaks a rule.
        StorageError: a checkpoint cannot be written, or is that of another trial.
        Exception: whatever the workload raises; an `Infeasible` of its own becomes an outcome.
    """
    values = Values(trial.values)
    progress = Progress()
    try:
        if reason := workload.infeasible(values):
            raise Infeasible(f"declared: {reason}")
        with limited_memory(memory_limit_gib), tracing(profile, group) as tracer:
            stopped = _train(
                workload, trial, values, data, group, watcher, checkpoints, save_predictions, tracer, progress
            )
        outcome, reason = (None, None) if stopped else ("completed", None)
    except Infeasible as infeasible:
        outcome, reason = "infeasible", infeasible.reason
        if infeasible.__cause__ is not None:  # an error that was taken for one, whose place is for the log
            traceback.print_exc()
    best_checkpoint_step = checkpoints.best_step if checkpoints else None
    return End(
        outcome=outcome,  # type: ignore[arg-type] # mypy widens the literals of a tuple
        training=progress.training(data.stage_seconds(), best_checkpoint_step),
        reason=reason,
        first_step=progress.first_step,
        step_s=progress.steps.mean_s,
        evaluation_s=progress.evaluations.mean_s,
    )


def _train(
    workload: Workload,
    trial: TrialSpec,
    values: Values,
    data: Data,
    group: Group,
    watcher: Watcher,
    checkpoints: Checkpoints | None,
    save_predictions: SavePredictions | None,
    tracer: Tracer,
    progress: Progress,
) -> bool:
    # ------------------------------------------------------------------ model, optimizer, schedule
    model = initial_model(workload, trial, values, group)
    progress.num_parameters = sum(parameter.numel() for parameter in model.parameters())
    gradients = FlatGradients(model, group)
    update_rule = optimizer(model, values)
    learning_rate = schedule(values, trial.max_train_steps)
    clipping_norm = clipping_threshold(values)
    average = weight_average(model, values)
    compile_(model, values)
    clock = group.clock
    num_steps = total_steps(values, trial.max_train_steps)
    interval = trial.evaluation_interval_steps
    measured = Measured(interval, group.device)

    def forward(batch: Batch) -> None:
        with autocast(values, group.device):
            workload.loss(model, batch, values)

    def evaluate_and_keep() -> None:
        with progress.evaluations.once(), group.clock.named("evaluation"):
            rows = _evaluations(workload, model, values, data, group, watcher, progress.step, ("train", "validation"))
            if average is not None and average.has_begun:  # rule SC3: beside the raw weights
                first_batches = _watched(data.training_batches(trial, first_batch=0), watcher)
                with average.swapped_in(first_batches, forward):
                    of_average = _evaluations(
                        workload, model, values, data, group, watcher, progress.step, ("train", "validation")
                    )
                rows += [{**row, SPLIT: average_split(str(row[SPLIT]))} for row in of_average]
        watcher.measured(measured.evaluated(rows))
        if save_predictions is not None:
            examples = examine(workload, model, _watched(data.evaluation_batches(CHOSEN), watcher), values, group)
            save_predictions(progress.step, examples)
        if checkpoints is not None and checkpoints.is_due(progress.step, is_last=progress.step == num_steps):
            training = {
                "optimizer": update_rule.state_dict(),
                "average": average.state_dict() if average is not None else None,
                "measured": measured.state_dict(),
                "seconds": progress.gathered(data.stage_seconds(), group),
            }
            objective = trial.objective
            checkpoints.save(progress.step, model, training, measured.by_step(objective.metric, objective.split), group)

    # ------------------------------------------------------------------ where an earlier attempt was cut off
    kept = checkpoints.load(model, group) if checkpoints is not None else None
    if kept is not None:
        update_rule.load_state_dict(kept["optimizer"])
        if average is not None:
            average.load_state_dict(kept["average"])
        measured.load_state_dict(kept["measured"])
        progress.step = progress.first_step = kept["step"]
        progress.go_on_from(kept["seconds"], group)
        for report in measured.reports():
            watcher.measured(report)
    else:
        evaluate_and_keep()  # before the first step

    batches = data.training_batches(trial, first_batch=progress.step)
    for step in range(progress.step, num_steps):
        watcher.stepped(step)
        # -------------------------------------------------------------- one step
        with tracer.step(step + 1), progress.steps.once(), clock.step(group.device) as times:
            waited_s = data.transfer_wait_s()
            with clock.timed("data"):
                batch = next(batches)
            times.transfer_s = data.transfer_wait_s() - waited_s
            group.seed_(worker_seed("augmentation", trial, rank=group.rank, step=step))
            with clock.timed("augmentation"):
                batch = workload.augment(batch, values)
            group.seed_(worker_seed("dropout", trial, rank=group.rank, step=step))
            gradients.zero_()
            with clock.named("forward"), autocast(values, group.device):
                per_example = workload.loss(model, batch, values)
            require_per_example("Workload.loss", per_example, len(next(iter(batch.values()))))
            loss = mean_loss(per_example)
            with clock.named("backward"):
                loss.backward()
            scalars = gradients.average(loss.detach(), float(watcher.wants_stop()))
            with clock.named("update"):
                norm = gradients.norm()
                if clipping_norm is not None:
                    gradients.scale_(clipping_factor(norm, clipping_norm))
                update_rule.update(learning_rate(step))
                if average is not None:
                    average.update(step + 1)
            measured.add(scalars[0], norm, scalars[1], learning_rate(step), times)
        progress.step = step + 1

        # -------------------------------------------------------------- reporting interval
        if progress.step % interval == 0 or progress.step == num_steps:
            rows, stop = measured.flush(progress.step)
            progress.count(rows)
            watcher.measured(rows)
            require_finite(rows)
            evaluate_and_keep()
            if stop and progress.step < num_steps:
                return True

    # ------------------------------------------------------------------ divergence, by the stated test
    if diverged(measured.initial_loss, measured.last_mean_loss, trial.divergence_factor):
        raise Infeasible(
            f"diverged: training loss {measured.last_mean_loss:.4g} over the last interval exceeds "
            f"{trial.divergence_factor:g} x {measured.initial_loss:.4g} at step 0"
        )

    # ------------------------------------------------------------------ what was chosen by a sample (rules EV5, EV8)
    if is_sampled(values):
        steps = checkpoints.restored(model, group) if checkpoints is not None else [progress.step]
        scored = rescore(
            workload,
            ((step, model) for step in steps),
            lambda: _watched(data.evaluation_batches(FULL_VALIDATION), watcher),
            values,
            group,
        )
        watcher.measured(scored)
        if checkpoints is not None:
            checkpoints.select(scored)
    return False


def initial_model(workload: Workload, trial: TrialSpec, values: Values, group: Group) -> nn.Module:
    """The trial's model before its first step, the same on all workers (rule MH2), in training mode.

    Raises:
        RuntimeError: its workers make different ones.
        SpecError: a value breaks a rule.
    """
    group.seed_(shared_seed("initialization", trial))
    model = workload.model(values)
    statistics = values.str("batch_norm")
    ghost = {"virtual_batch_size": values.int("virtual_batch_size")} if statistics == "ghost" else {}
    model = convert_batch_norm(model, statistics=statistics, group=group, **ghost).to(group.device)
    require_equal("the initial model", [*model.parameters(), *model.buffers()], group)
    return model.train()


def _evaluations(
    workload: Workload,
    model: nn.Module,
    values: Values,
    data: Data,
    group: Group,
    watcher: Watcher,
    step: int,
    splits: Iterable[str],
) -> list[MeasurementRow]:
    """Training error on a fixed sample and validation error, by the same metrics in evaluation mode (rule EV7)."""
    rows: list[MeasurementRow] = []
    for split in splits:
        batches = _watched(data.evaluation_batches(split), watcher)
        with_errors = is_sampled(values) and split != "train"
        metrics = evaluate(workload, model, batches, values, group, with_errors=with_errors)
        rows.append({STEP: step, SPLIT: split, **metrics})
    return rows


def _watched(batches: Iterable[Batch], watcher: Watcher) -> Iterator[Batch]:
    for batch in batches:
        watcher.evaluated()
        yield batch
