"""Choosing a batch size by measurement: what fits, how fast it is trained, and how many steps it takes.

See the playbook's "Choosing the batch size".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow.compute as pc
from rich.console import Console

from raytune_playbook.analysis.input_pipeline import input_bound
from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.rounds.found_examples import find_before_ray, most_training_examples
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.errors import RunError, SpecError
from raytune_playbook.procedures.batch_size.measured import Ended, Measured, Proof, ToTarget
from raytune_playbook.procedures.batch_size.record import About, completed_record, nothing_fits
from raytune_playbook.procedures.batch_size.scaling import Steps, StepScaling, steps_of
from raytune_playbook.procedures.batch_size.sizes import (
    BATCH_SIZE,
    at_ends,
    batch_sizes,
    decaying_schedule,
    main_arm,
    measured_round,
    other_arms,
    refuse_accumulation,
    steps_round,
)
from raytune_playbook.procedures.batch_size.throughput import Scaling, StepTimes, step_times
from raytune_playbook.procedures.command import command_of, job_path, part_of_job
from raytune_playbook.procedures.procedure import Procedure, done_before, procedure
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.columns import SPLIT, STEP
from raytune_playbook.records.facts import CODE, HARDWARE, MODEL, NUM_STEPS, OPTIMIZER, WORKERS
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.terminal import new_console
from raytune_playbook.report.tracebacks import from_users_code
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective

INTERVALS = 6
"""Of each size's steps; the first one warms up."""

PROBE_STEPS, FEWEST_STEPS, MOST_STEPS = 5, 3, 500
"""Of an interval: of the first look at the smallest size, and at least and at most of a measurement."""

MEASURED_S = 3.0
"""About so long each size is trained, where that takes neither too few nor too many steps."""

TRIALS_PER_SIZE = 10

MAX_ARMS = 16
"""So many scientific values are proven to fit."""

BOUND_TO = (MODEL, CODE, OPTIMIZER, WORKERS, HARDWARE, NUM_STEPS)


@dataclass(frozen=True)
class _Asked:
    """What a user wants to know."""

    round: Round
    sizes: tuple[int, ...]
    largest: int | None
    target: float | None
    num_trials: int


def batch_size(
    round: Round,
    *,
    min: int | None = None,
    max: int | None = None,
    steps_to_target: float | None = None,
    num_trials: int | None = None,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    again: bool = False,
    console: Console | None = None,
) -> ProcedureRecord:
    """Find the batch sizes that fit and how fast each is trained, and recommend two (rules BA1 to BA9).

    Sizes are powers of two times the workers of a gang. They are doubled until memory runs out, the training set ends
    or ``max`` is reached; the largest that fits is proven by training and evaluating anew in fresh workers, with each
    of the round's scientific values. With ``steps_to_target`` the optimizer's and the regularizers' hyperparameters
    are tuned anew at each size, and the steps that reach the target are measured.

    Args:
        round: whose model is trained; its own trials are not run.
        min, max: the smallest and the largest size to try; None for 8 examples a worker, and for no limit.
        steps_to_target: a value of the round's objective; None to measure no steps.
        num_trials: of each size, with a target; None for 10.
        storage, gangs, address, job, console: as for `raytune_playbook.run`.
        again: also where it was done before and nothing has changed since.

    Returns:
        A record with the numbers ``sizes`` (those that fit), ``examples_per_s`` and ``s_per_step`` of each,
        ``largest_feasible``, ``ended_by`` (memory, training set, max or declared), ``stops_growing_at``,
        ``nearly_doubles_to``, ``bottleneck`` (input, synchronization, compute or None), ``least_time`` and
        ``least_resources``; with a target also ``target``, ``target_sizes``, ``steps_to_target`` (None where it was
        not reached), ``critical_batch_size`` ``is_critical_seen`` (whether a larger size was worse) and
        ``chance_least_time`` (that ``least_time`` has it, among draws of the trials).

    Raises:
        InputError: something that was given is wrong; nothing was started or written.
        RunError: a trial failed.
    """
    place = Place(storage, console or new_console(), gangs, address, job)
    if num_trials is not None and (steps_to_target is None or num_trials < 2):
        raise SpecError(
            "--num-trials is how many trials of each size look for --steps-to-target, at least 2, but got "
            f"{num_trials} with {'no target' if steps_to_target is None else f'a target of {steps_to_target:g}'}; "
            "give both, or neither."
        )
    refuse_accumulation(round)
    sizes = batch_sizes(round.resources.num_workers, min, max)
    asked = _Asked(round, tuple(sizes), max, steps_to_target, num_trials or TRIALS_PER_SIZE)
    if steps_to_target is not None:
        steps_round(round, sizes[:1], steps_to_target, asked.num_trials)  # refuses what tunes nothing
    options = {"min": min, "max": max, "steps_to_target": steps_to_target, "num_trials": num_trials}
    part = part_of_job("batch-size", round, place, options)
    if not again and (before := done_before(part, round, place)) is not None:
        return before
    if min is not None:
        _refuse_beyond(round, min, sizes[0])
    with procedure(part, round, place) as running:
        return running.conclude(_concluded(running, asked))


def _refuse_beyond(round_: Round, given: int, smallest: int) -> None:
    """Refuse a ``min`` beyond the training set before Ray starts, where its size is known by then."""
    found = find_before_ray(round_)
    most = None if found is None else most_training_examples(found)
    if most is not None and smallest > most:
        raise SpecError(
            f"--min: the smallest size from {given:,} on is {smallest:,}, but no batch is larger than the training "
            f"set, which has at most {most:,} examples; give less."
        )


def _concluded(running: Procedure, asked: _Asked) -> ProcedureRecord:
    measured = _measured(running, asked)
    proof, given_up = _proven(running, asked, measured)
    if proof is None:
        return nothing_fits(running.draft("", bound_to=BOUND_TO), measured, given_up)
    fitting = replace(measured, sizes=tuple(each for each in measured.sizes if each.size <= proof.size))
    to_target = None if asked.target is None else _to_target(running, asked, asked.target, fitting)
    next_command = command_of("train-steps", job_path(running.place.job), running.place.storage)
    about = About(asked.round, fitting, proof, to_target, next_command)
    return completed_record(running.draft("", bound_to=BOUND_TO), about)


# ---------------------------------------------------------------------- what fits, and how fast


def _measured(running: Procedure, asked: _Asked) -> Measured:
    """Double the batch until it does not fit; one trial at a time, so that nothing else takes the machine's time."""
    arm, smallest = main_arm(asked.round), asked.sizes[0]
    result = running.run("probe", measured_round(asked.round, arm, smallest, PROBE_STEPS, INTERVALS))
    examples = result.store.round().examples
    measured = Measured((), Ended.MAX, "", asked.sizes[-1], examples.num_examples["train"] if examples else 0, {})
    trial, steps = _only_trial(result), PROBE_STEPS
    for size in asked.sizes:
        if size > measured.num_examples:
            return replace(measured, ended=Ended.TRAINING_SET, next_size=size)
        if (ended := _end(trial)) is None:
            steps = _num_steps(_times(result, trial, steps))
            result = running.run(str(size), measured_round(asked.round, arm, size, steps, INTERVALS))
            trial = _only_trial(result)
            ended = _end(trial)
        if ended is not None:
            return replace(measured, ended=ended, reason=trial.reason or "", next_size=size)
        bound = input_bound([trial], examples)
        measured = replace(
            measured,
            sizes=(*measured.sizes, _times(result, trial, steps)),
            input_bound={**measured.input_bound, **({size: bound} if bound else {})},
        )
    return measured


def _only_trial(result: Result) -> Trial:
    trial = trials_of(result.trials)[0]
    if trial.outcome == Outcome.FAILED:
        raise RunError(f"A batch could not be trained.\n{from_users_code(trial.last_traceback or '')}")
    return trial


def _end(trial: Trial) -> Ended | None:
    """Why a trial's size is not feasible; None where it is, whatever its loss came to."""
    if trial.outcome != Outcome.INFEASIBLE or trial.reason is None:
        return None
    kinds = {"out of memory": Ended.MEMORY, "declared": Ended.DECLARED}
    return next((ended for kind, ended in kinds.items() if trial.reason.startswith(kind)), None)


def _times(result: Result, trial: Trial, steps_per_interval: int) -> StepTimes:
    measurements = result.store.measurements(trial.study, trial.key)
    peak = trial.training.peak_memory_bytes if trial.training else None
    size = int(str(trial.values[BATCH_SIZE]))
    try:
        return step_times(size, measurements, steps_per_interval, peak)
    except ValueError:
        raise RunError(
            f"A few steps must be trained to time them, but at a batch size of {size} the trial was infeasible "
            f"({trial.reason}); lower learning_rate in the job, or begin with a larger --min."
        ) from None


def _num_steps(before: StepTimes) -> int:
    """Of an interval, by the time per step of the size before: twice the batch takes up to twice as long."""
    return max(FEWEST_STEPS, min(MOST_STEPS, round(MEASURED_S / INTERVALS / (1.5 * before.step_s))))


def _proven(running: Procedure, asked: _Asked, measured: Measured) -> tuple[Proof | None, dict[int, str]]:
    """Train and evaluate the largest size in fresh workers; half of it where that does not fit them."""
    arms = [main_arm(asked.round), *other_arms(asked.round)][:MAX_ARMS]
    given_up = dict[int, str]()
    for times in reversed(measured.sizes):
        running.say(f"Does {times.size:,} fit fresh workers as well?")
        running.renew_gangs()
        peaks: list[int] = []
        for arm in arms:
            short = measured_round(asked.round, arm, times.size, PROBE_STEPS, 2)
            trial = _only_trial(running.run(f"proof-{times.size}", short))
            if _end(trial) is not None:
                given_up[times.size] = trial.reason or ""
                break
            if trial.training is not None and trial.training.peak_memory_bytes is not None:
                peaks.append(trial.training.peak_memory_bytes)
        else:
            return Proof(times.size, tuple(arms), max(peaks, default=None), given_up), given_up
    return None, given_up


# ---------------------------------------------------------------------- how many steps


def _to_target(running: Procedure, asked: _Asked, target: float, measured: Measured) -> ToTarget:
    """Tune anew at each size that may be recommended, and at the next one, which shows how it goes on."""
    stops_at = Scaling(measured.sizes).stops_at
    sizes = [each.size for each in measured.sizes]
    sizes = sizes[: sizes.index(stops_at) + 2]
    round_ = steps_round(asked.round, sizes, target, asked.num_trials)
    result = running.run("steps", round_)
    steps, at_end = list[Steps](), dict[int, tuple[str, ...]]()
    for study in round_.studies:
        size = int(str(study.arm[BATCH_SIZE]))
        trials = trials_of(result.store.trials(study.name))
        needed = [_steps_to(result, trial, round_.objective, target) for trial in trials]
        steps.append(steps_of(size, needed))
        if steps[-1].fewest == 0:
            raise RunError(
                f"A target is reached by training, but at a batch size of {size} the untrained model has a "
                f"{round_.objective.name} of {target:g} already; give a better one."
            )
        if steps[-1].fewest is not None:
            at_end[size] = at_ends(round_.nuisance, trials[needed.index(steps[-1].fewest)].values)
    return ToTarget(
        target=target,
        scaling=StepScaling(tuple(steps), round_.budget.evaluation_interval_steps),
        at_end_of_range=at_end,
        schedule=decaying_schedule(asked.round),
        max_train_steps=round_.budget.max_train_steps,
    )


def _steps_to(result: Result, trial: Trial, objective: Objective, target: float) -> int | None:
    """The step of the first evaluation that is as good as the target; None where there is none."""
    table = result.store.measurements(trial.study, trial.key)
    if table is None or objective.metric not in table.column_names:
        return None
    rows = table.filter(pc.equal(table[SPLIT], objective.split)).sort_by(STEP)
    pairs = zip(rows[STEP].to_pylist(), rows[objective.metric].to_pylist(), strict=True)
    return next((int(step) for step, value in pairs if objective.reaches(value, target)), None)
