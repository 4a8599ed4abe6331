"""One trial, from its specification to its outcome; reads top to bottom.

Runs in one process or under any torch process group, with any iterator of batches. Nothing is fetched from the device
between reporting intervals (rule PI3). Given a storage for checkpoints, a trial that was cut off goes on from its
latest one, bit for bit (rule CK2).
"""

from __future__ import annotations

import traceback
from typing import Any

from raytune_playbook.analysis.judging.divergence import diverged
from raytune_playbook.errors import Infeasible
from raytune_playbook.records.columns import SPLIT, STEP, MeasurementRow, average_split
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.evaluation_settings import CHOSEN, FULL_VALIDATION, is_sampled
from raytune_playbook.study.seeds import worker_seed
from raytune_playbook.train.checks.trainable import require_gradient
from raytune_playbook.train.end import End
from raytune_playbook.train.evaluation import SavePredictions, evaluate, examine, rescore
from raytune_playbook.train.group import FlatGradients
from raytune_playbook.train.measurements import Measurements, TrainingSoFar, require_finite
from raytune_playbook.train.model import TrialModel, initial_model
from raytune_playbook.train.precision import compile_, mean_loss
from raytune_playbook.train.process.memory import PeakMemory, limited_memory
from raytune_playbook.train.profiler import Profile, Tracer, tracing
from raytune_playbook.train.saved.checkpoints import Checkpoints
from raytune_playbook.train.saved.size import size_of
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.update.averaging import WeightAverage, weight_average
from raytune_playbook.train.update.clipping import clipping_factor, clipping_threshold
from raytune_playbook.train.update.optimizers import optimizer
from raytune_playbook.train.update.schedules import schedule, total_steps


def train(
    run: TrialRun,
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
        StorageError: a checkpoint is that of another trial.
        StorageFailure: one cannot be written or read.
        Exception: whatever the workload raises; an `Infeasible` of its own becomes an outcome.
    """
    so_far, memory = TrainingSoFar(), None
    try:
        if reason := run.workload.infeasible(run.values):
            raise Infeasible(f"declared: {reason}")
        with limited_memory(memory_limit_gib), tracing(profile, run.group) as tracer:
            memory = PeakMemory(run.group.device)  # within the limit, which counts what earlier trials have freed
            stopped = _train(run, checkpoints, save_predictions, tracer, so_far)
        outcome, reason = (None, None) if stopped else (Outcome.COMPLETED, None)
    except Infeasible as infeasible:
        outcome, reason = Outcome.INFEASIBLE, infeasible.reason
        if infeasible.__cause__ is not None:  # an error that was taken for one, whose place is for the log
            traceback.print_exc()
    training = so_far.training(
        run.data.stage_seconds(),
        best_checkpoint_step=checkpoints.best_step if checkpoints else None,
        peak_memory_bytes=memory.num_bytes() if memory else None,
    )
    return End(
        outcome=outcome,
        training=training,
        reason=reason,
        first_step=so_far.first_step,
        step_s=so_far.steps.mean_s,
        evaluation_s=so_far.evaluations.mean_s,
        metrics=so_far.metrics,
        read=run.values.read,
        checkpoint=checkpoints.size if checkpoints else so_far.checkpoint,
    )


def _train(
    run: TrialRun,
    checkpoints: Checkpoints | None,
    save_predictions: SavePredictions | None,
    tracer: Tracer,
    so_far: TrainingSoFar,
) -> bool:
    """Train to the end, or until somebody wishes to stop; whether that was so."""
    workload, trial, data, group, watcher = run.workload, run.trial, run.data, run.group, run.watcher
    values, clock = run.values, run.group.clock
    # ------------------------------------------------------------------ model, optimizer, schedule
    model = initial_model(workload, trial, values, group)
    so_far.num_parameters = sum(parameter.numel() for parameter in model.module.parameters())
    gradients = FlatGradients(model.module, group)
    update_rule = optimizer(model.module, values)
    learning_rate = schedule(values, trial.max_train_steps)
    clipping_norm = clipping_threshold(values)
    average = weight_average(model.module, values)
    compile_(model.module, values)
    augments = workload.augments(values)
    num_steps, interval = total_steps(values, trial.max_train_steps), trial.evaluation_interval_steps
    measurements = Measurements(interval, group.device)

    def has_reached_target() -> bool:
        if trial.target is None:
            return False
        objective = trial.objective
        return objective.reaches(measurements.by_step(objective.metric, objective.split).get(so_far.step), trial.target)

    def state() -> dict[str, Any]:  # what training goes on from beside the model
        return {
            "optimizer": update_rule.state_dict(),
            "average": average.state_dict() if average is not None else None,
            "measured": measurements.state_dict(),
            "seconds": so_far.gathered(data.stage_seconds(), group),
        }

    def evaluate_and_keep() -> None:
        step = so_far.step
        with so_far.evaluations.once(), clock.named("evaluation"):
            rows = _evaluations(run, model, average, step)
        so_far.note(rows)
        watcher.new_measurements(measurements.add_evaluations(rows))
        if save_predictions is not None:
            save_predictions(step, examine(model, run.evaluation_batches(CHOSEN)))
        if checkpoints is not None and checkpoints.is_due(step, is_last=step == num_steps or has_reached_target()):
            objective = trial.objective
            checkpoints.save(step, model.module, state(), measurements.by_step(objective.metric, objective.split))

    # ------------------------------------------------------------------ where an earlier attempt was cut off
    kept = checkpoints.load(model.module) if checkpoints is not None else None
    if kept is not None:
        update_rule.load_state_dict(kept["optimizer"])
        if average is not None:
            average.load_state_dict(kept["average"])
        measurements.load_state_dict(kept["measured"])
        so_far.step = so_far.first_step = kept["step"]
        so_far.go_on_from(kept["seconds"], group)
        for report in measurements.reports():
            watcher.new_measurements(report)
    else:
        evaluate_and_keep()  # before the first step

    batches = data.training_batches(trial, first_batch=so_far.step)
    for step in range(so_far.step, so_far.step if has_reached_target() else num_steps):
        watcher.stepped(step)
        # -------------------------------------------------------------- one step
        with tracer.step(step + 1), so_far.steps.once(), clock.step(group.device) as timed:
            waited_s = data.transfer_wait_s()
            with clock.timed("data"):
                batch = next(batches)
            timed.transfer_s = data.transfer_wait_s() - waited_s
            group.seed_(worker_seed("augmentation", trial, rank=group.rank, step=step))
            with clock.timed("augmentation"):
                batch = workload.augment(batch, values) if augments else batch
            group.seed_(worker_seed("dropout", trial, rank=group.rank, step=step))
            gradients.zero_()
            with clock.named("forward"):
                per_example = model.loss(batch)
                require_gradient(per_example)
            loss = mean_loss(per_example)
            with clock.named("backward"):
                loss.backward()
            mean, wish = gradients.average(loss.detach(), float(watcher.wants_stop()))
            with clock.named("update"):
                norm = gradients.norm()
                if clipping_norm is not None:
                    gradients.scale_(clipping_factor(norm, clipping_norm))
                update_rule.update(learning_rate(step))
                if average is not None:
                    average.update(step + 1)
            measurements.add_step(mean, norm, wish, learning_rate(step), timed)
        so_far.step = step + 1

        # -------------------------------------------------------------- reporting interval
        if so_far.step % interval == 0 or so_far.step == num_steps:
            rows, stop = measurements.flush(so_far.step)
            so_far.count(rows)
            watcher.new_measurements(rows)
            require_finite(rows)
            evaluate_and_keep()
            if has_reached_target():
                break
            if stop and so_far.step < num_steps:
                return True

    if checkpoints is None:
        so_far.checkpoint = size_of(model.module, state(), group)

    # ------------------------------------------------------------------ divergence, beyond Budget.divergence_factor
    if diverged(measurements.initial_loss, measurements.last_mean_loss, trial.divergence_factor):
        raise Infeasible(
            f"diverged: training loss {measurements.last_mean_loss:.4g} over the last interval exceeds "
            f"{trial.divergence_factor:g} x {measurements.initial_loss:.4g} at step 0"
        )

    # ------------------------------------------------------------------ what was chosen by a sample (rules EV5, EV8)
    if is_sampled(values):
        steps = checkpoints.restored(model.module) if checkpoints is not None else [so_far.step]
        scored = rescore(((step, model) for step in steps), lambda: run.evaluation_batches(FULL_VALIDATION))
        watcher.new_measurements(scored)
        if checkpoints is not None:
            checkpoints.select(scored)
    return False


def _evaluations(run: TrialRun, model: TrialModel, average: WeightAverage | None, step: int) -> list[MeasurementRow]:
    """Of the raw weights, and beside them of their average once it has begun (rule SC3)."""
    rows = _evaluation(run, model, step)
    if average is not None and average.has_begun:
        with average.swapped_in(run.first_training_batches(), model.loss):
            of_average = _evaluation(run, model, step)
        rows += [{**row, SPLIT: average_split(str(row[SPLIT]))} for row in of_average]
    return rows


def _evaluation(run: TrialRun, model: TrialModel, step: int) -> list[MeasurementRow]:
    """Training error on a fixed sample and validation error, by the same metrics in evaluation mode (rule EV7)."""
    rows: list[MeasurementRow] = []
    for split in ("train", "validation"):
        with_errors = is_sampled(model.values) and split != "train"
        metrics = evaluate(model, run.evaluation_batches(split), with_errors=with_errors)
        rows.append({STEP: step, SPLIT: split, **metrics})
    return rows
