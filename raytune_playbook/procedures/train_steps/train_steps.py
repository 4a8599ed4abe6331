"""``raytune-playbook train-steps JOB``: a candidate for the number of training steps, where training is not
compute-bound (rules LN2, LN3, SD11 and IN14).

The playbook's "Algorithm for picking an initial candidate for max_train_steps using a learning rate sweep": the steps
that the fastest constant learning rate needs to fit the training set perfectly, without augmentation and without
regularization. Each number of steps that is tried is a round of its own, for all trials of a study have one length.
"""

from __future__ import annotations

import math

from rich.console import Console

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.analysis.wording import count_text
from raytune_playbook.data.examples import MAX_TRAINING_SAMPLE
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.command import Option, command_of, job_path, part_of_job
from raytune_playbook.procedures.procedure import Procedure, done_before, found_before, procedure
from raytune_playbook.procedures.train_steps.refined import Refinement, refinement_of, without_refinement
from raytune_playbook.procedures.train_steps.sweep import (
    NEAR,
    REACH,
    Fit,
    around,
    best_of,
    beyond,
    end_of,
    fit_of,
    lengths,
)
from raytune_playbook.procedures.train_steps.sweep_round import (
    LEARNING_RATE,
    centre_of,
    noise_of,
    sweep_round,
    switched_off,
)
from raytune_playbook.procedures.train_steps.words import Sweeps, fits_plot, fits_table, sentences, verdict
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.facts import AUGMENTATION, BATCH_SIZE, CODE, DROPOUT, MODEL, OPTIMIZER, WORKERS
from raytune_playbook.records.procedures import NextCommand, ProcedureRecord
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.wording import value_text

VERB = "train-steps"

BOUND_TO = (MODEL, CODE, OPTIMIZER, WORKERS, BATCH_SIZE, DROPOUT, AUGMENTATION)
"""What makes gradients noisier, or changes model or data, asks for another number of steps (rule LN7)."""

MAX_WIDENINGS = 3

LONGEST = 4
"""The most steps that are tried, as a multiple of the job's, unless somebody says how many."""


def train_steps(
    round: Round,
    *,
    loss: float | None = None,
    max_steps: int | None = None,
    learning_rate: float | None = None,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    again: bool = False,
    console: Console | None = None,
) -> ProcedureRecord:
    """Find the steps that the fastest constant learning rate needs to fit a job's training set perfectly (rule LN2).

    Run again when the job's round has run, it also says what the steps at which its trials were best suggest (IN14).

    Args:
        loss: a training loss that counts as a perfect fit; None for no training example misclassified.
        max_steps: the most steps to try; None for `LONGEST` times those of the job.
        learning_rate: the middle of the grid; None for that of the initial configuration.
        round, storage, gangs, address, job, console: as for `run`.
        again: do it anew where it was done before and nothing has changed.

    Returns:
        Its numbers: ``max_train_steps`` (the candidate; None where there is none), ``steps_to_fit``,
        ``learning_rate`` (the fastest; where none fits the closest), ``fits``, ``is_at_end`` (of the grid, after it was
        widened), ``lowest`` (the metric in training), ``target`` and ``most_steps`` (that were tried); of a round that
        has run ``refined_max_train_steps`` (None for no other number), ``refined_from_steps`` and
        ``refined_from_trials``.

    Raises:
        InputError, RunError: as `run`.
    """
    most = LONGEST * round.budget.max_train_steps if max_steps is None else max_steps
    _refuse(round, loss, most, learning_rate)
    place = Place(storage, console or new_console(), gangs, address, job)
    part = part_of_job(VERB, round, place, _options(loss, max_steps, learning_rate))
    store = RoundStore(Storage(storage), round.name)
    refinement = refinement_of(store)
    found = None if again else found_before(part, round, place)
    if found is not None:
        if refinement is None or found.numbers.items() >= refinement.numbers.items():
            return done_before(part, round, place) or found
        with procedure(part, round, place) as running:
            return running.conclude(_refined(running, found, refinement))
    with procedure(part, round, place) as running:
        objective = Objective(metric="error" if loss is None else "loss", split="train")
        sweeps = _swept(running, objective, 0.0 if loss is None else loss, most, learning_rate)
        record = _record(running, sweeps)
        return running.conclude(record if refinement is None else _refined(running, record, refinement))


def _refuse(round_: Round, loss: float | None, most: int, learning_rate: float | None) -> None:
    workload_of(round_)
    if LEARNING_RATE not in round_.defaults:
        raise SpecError("train-steps sweeps learning_rate, but the workload has none; give it one.")
    if loss is not None and not math.isfinite(loss):
        raise SpecError(f"loss: a number is needed, but got {loss}; state the training loss that is to be reached.")
    if most < 1:
        raise SpecError(f"max_steps: at least 1 is needed, but got {most}; say how many steps may be tried.")
    if learning_rate is not None and not (0 < learning_rate < math.inf):
        raise SpecError(f"learning_rate: above 0 is needed, but got {learning_rate}; name the middle of the grid.")
    if learning_rate is None and centre_of(round_) <= 0:
        raise SpecError("learning_rate: the job's must be above 0 to sweep around it; name one with --learning-rate.")


def _options(loss: float | None, max_steps: int | None, learning_rate: float | None) -> dict[str, Option]:
    return {"loss": loss, "max_steps": max_steps, "learning_rate": learning_rate}


# ---------------------------------------------------------------------- the sweeps


def _swept(running: Procedure, objective: Objective, target: float, most: int, learning_rate: float | None) -> Sweeps:
    """Sweeps of growing length, until a learning rate fits the training set."""
    round_ = running.round
    rates = around(centre_of(round_) if learning_rate is None else learning_rate, REACH)
    before: list[tuple[int, float | None]] = []
    planned = lengths(round_.budget.max_train_steps, round_.budget.evaluation_interval_steps, most)
    for length in planned:
        fits: list[Fit] = []
        name, left = f"{length.num_steps}-steps", MAX_WIDENINGS
        while True:
            running.say(f"Up to {count_text(length.num_steps)} steps at {', '.join(map(value_text, rates))} ...")
            result = running.run(name, sweep_round(round_, rates, length, objective, target))
            fits += _fits(result, objective, target)
            end = end_of(fits)
            if end is None or not left:
                break
            rates, left = beyond(fits, end), left - 1
            name = f"{length.num_steps}-steps-wider-{MAX_WIDENINGS - left}"
        best = best_of(fits)
        if length is planned[-1] or (best is not None and best.steps is not None):
            break
        before.append((length.num_steps, None if best is None else best.lowest))
        rates = around(best.learning_rate, NEAR) if best is not None else rates
    examples = result.store.round().examples
    num_train = None if examples is None else examples.num_examples.get("train")
    return Sweeps(
        fits=tuple(fits),
        end=end,
        length=length,
        before=tuple(before),
        objective=objective,
        target=target,
        num_scored=None if num_train is None else min(num_train, MAX_TRAINING_SAMPLE),
        num_train=num_train,
        interval_steps=round_.budget.evaluation_interval_steps,
    )


def _fits(result: Result, objective: Objective, target: float) -> list[Fit]:
    found = []
    for trial in trials_of(result.trials):
        reason = None if trial.outcome == Outcome.COMPLETED else trial.reason or "not completed"
        table = result.store.measurements(trial.study, trial.key)
        rate = trial.values[LEARNING_RATE]
        found.append(fit_of(float(rate or 0.0), table, objective, target, reason))
    return found


# ---------------------------------------------------------------------- what it came to


def _record(running: Procedure, sweeps: Sweeps) -> ProcedureRecord:
    best, plot = sweeps.best, fits_plot(sweeps)
    record = running.draft(verdict(sweeps), bound_to=BOUND_TO)
    return record.model_copy(
        update={
            "is_good": sweeps.max_train_steps is not None,
            "sentences": sentences(sweeps, switched_off(running.round), noise_of(running.round)),
            "numbers": {
                "max_train_steps": sweeps.max_train_steps,
                "steps_to_fit": sweeps.steps,
                "learning_rate": None if best is None else best.learning_rate,
                "fits": sweeps.steps is not None,
                "is_at_end": sweeps.end is not None,
                "lowest": None if best is None else best.lowest,
                "target": sweeps.target,
                "most_steps": sweeps.length.num_steps,
            },
            "tables": (fits_table(sweeps),),
            "plots": () if plot is None else (plot,),
            "next": (_next(running, sweeps),),
        }
    )


def _next(running: Procedure, sweeps: Sweeps) -> NextCommand:
    job, storage, best = job_path(running.place.job), running.place.storage, sweeps.best
    if sweeps.max_train_steps is not None:
        sentence = f"Set Budget(max_train_steps={sweeps.max_train_steps}) in {job}, and run the round:"
        return NextCommand(sentence=sentence, command=command_of("run", job, storage))
    if best is not None and best.steps is not None:
        sentence = "Sweep around the fastest learning rate, where both sides of it are seen:"
        options: dict[str, Option] = {"learning_rate": best.learning_rate}
        return NextCommand(sentence=sentence, command=command_of(VERB, job, storage, options))
    if best is None:
        sentence = "Check the initial configuration first:"
        return NextCommand(sentence=sentence, command=command_of("check-initial", job, storage))
    sentence = f"Take as many steps in {job} as you can wait for, and run it; its findings say whether more would help:"
    return NextCommand(sentence=sentence, command=command_of("run", job, storage))


def _refined(running: Procedure, record: ProcedureRecord, refinement: Refinement) -> ProcedureRecord:
    """The record with what the job's own round says."""
    record, plot = without_refinement(record), refinement.plot()
    following = record.next
    if refinement.proposed is not None:
        sentence = f"Write the next round's job, with {count_text(refinement.proposed)} steps:"
        command = command_of("propose", record.round, running.place.storage)
        following = (NextCommand(sentence=sentence, command=command),)
    elif record.numbers.get("max_train_steps") != refinement.max_train_steps:
        sentence = f"Its best steps ask for no other number than {count_text(refinement.max_train_steps)}."
        following = (NextCommand(sentence=sentence),)
    drafted = running.draft(record.verdict, bound_to=())
    return record.model_copy(
        update={
            "sentences": (*record.sentences, *refinement.sentences),
            "numbers": record.numbers | refinement.numbers,
            "plots": record.plots if plot is None else (*record.plots, plot),
            "next": following,
            "ended_at": drafted.ended_at,
            "commit": drafted.commit,
        }
    )
