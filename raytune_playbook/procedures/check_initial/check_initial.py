"""``raytune-playbook check-initial JOB``: is the initial configuration fast, simple, and clearly better than chance?

Rule ST5. The playbook's "Choosing the initial configuration": "a simple, relatively fast, relatively
low-resource-consumption configuration that obtains a reasonable result", which "at minimum means that the trained model
performs much better than random chance on the validation set".
"""

from __future__ import annotations

import math

from rich.console import Console

from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.engine.rounds.result import Result
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.engine.trained.load import KeptModel, load_kept
from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.check_initial.against_chance import Judged, Scored, judged
from raytune_playbook.procedures.check_initial.examples import augments, validation_sample
from raytune_playbook.procedures.check_initial.initial import initial_round, initial_values
from raytune_playbook.procedures.check_initial.permuted import MAX_EXAMPLES, scored
from raytune_playbook.procedures.check_initial.simplicity import not_simple
from raytune_playbook.procedures.check_initial.words import (
    Pace,
    chance_plot,
    chance_sentences,
    chance_table,
    configuration_sentence,
    pace_sentences,
    resolution_sentence,
    simplicity_sentence,
)
from raytune_playbook.procedures.command import command_of, job_path, part_of_job
from raytune_playbook.procedures.procedure import Procedure, done_before, procedure
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.facts import CODE, HARDWARE, MODEL, NUM_STEPS, OPTIMIZER, WORKERS
from raytune_playbook.records.procedures import NextCommand, ProcedureRecord
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.round import Round
from raytune_playbook.train.saved.checkpoints import checkpoints_folder, kept_steps

VERB = "check-initial"

BOUND_TO = (MODEL, CODE, OPTIMIZER, WORKERS, HARDWARE, NUM_STEPS)

ROUND_HOURS = 12.0
"""What a round may take unless somebody says how long they would wait: a night."""


def check_initial(
    round: Round,
    *,
    round_hours: float = ROUND_HOURS,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    again: bool = False,
    console: Console | None = None,
) -> ProcedureRecord:
    """Train a job's initial configuration, and say whether tuning can start from it (rule ST5).

    It is what the job fixes and the workload's defaults; of what its round varies each hyperparameter's default where
    that is in its range, else the middle of the range, or the first of the values to compare.

    Args:
        round_hours: how long a whole round may take; the configuration is fast where it takes no longer.
        round, storage, gangs, address, job, console: as for `run`.
        again: do it anew where it was done before and nothing has changed.

    Returns:
        Its numbers: ``value`` (the validation metric after the last step), ``best_value`` (the best over training),
        ``chance`` (the median with permuted labels), ``p_value`` (None where they cannot be permuted), ``constant``
        (the same guess for every example; None where that cannot be told), ``untrained`` (before the first step),
        ``is_better_than_chance``, ``is_simple``, ``is_fast``, ``train_s``, ``time_per_step_s``, ``num_steps`` and
        ``round_s`` (what the job's round would take at this pace).

    Raises:
        InputError, RunError: as `run`.
    """
    if not round_hours > 0:
        raise SpecError(f"round_hours: above 0 is needed, but got {round_hours}; say how long a round may take.")
    place = Place(storage, console or new_console(), gangs, address, job)
    options = {"round_hours": None if round_hours == ROUND_HOURS else round_hours}
    part = part_of_job(VERB, round, place, options)
    workload_of(round)
    if not again and (record := done_before(part, round, place)):
        return record
    with procedure(part, round, place) as running:
        result = running.run("initial", initial_round(round))
        trial = trials_of(result.trials)[0]
        if trial.outcome != Outcome.COMPLETED or trial.training is None:
            return running.conclude(_not_trained(running, trial))
        num_gangs = 1 if running.place.gangs is None else running.place.gangs.capacity()
        num_trials = sum(study.num_trials for study in round.studies)
        pace = Pace(trial.training, num_trials, num_gangs, round_hours * 3600)
        return running.conclude(_concluded(running, result, trial, pace))


def _concluded(running: Procedure, result: Result, trial: Trial, pace: Pace) -> ProcedureRecord:
    round_, objective, recorded = running.round, running.round.objective, result.store.round().examples
    kept = _last(result, trial, running.round)
    running.say("Scoring it with permuted labels ...")
    sample = validation_sample(kept, recorded, MAX_EXAMPLES, seed=round_.seed)
    found = scored(kept, sample, objective.metric, seed=round_.seed)
    untrained = _untrained(result, trial, objective.metric)
    against = judged(found, untrained, objective)
    beyond = not_simple(round_, trial.values, augments=augments(kept, recorded, seed=round_.seed))
    is_better = against is not None and against.is_clearly_better
    chance = chance_sentences(against, found, objective) if against is not None else (
        f"Its validation {found.metric} after the last step is not a finite number, so it is not compared with chance.",
    )  # fmt: skip
    plot = chance_plot(found, against) if against is not None else None
    record = running.draft(_verdict(is_better, pace.is_fast, not beyond), bound_to=BOUND_TO)
    return record.model_copy(
        update={
            "is_good": is_better and pace.is_fast,
            "sentences": (
                configuration_sentence(initial_values(round_), pace.training.num_parameters),
                *chance,
                *([few] if (few := resolution_sentence(found)) is not None else []),
                *pace_sentences(pace),
                simplicity_sentence(beyond),
            ),
            "numbers": _numbers(found, against, pace)
            | {"best_value": trial.objective, "untrained": untrained, "is_simple": not beyond},
            "tables": () if against is None else (chance_table(against, found, untrained),),
            "plots": () if plot is None else (plot,),
            "next": _next(running, is_better=is_better, is_fast=pace.is_fast),
        }
    )


def _last(result: Result, trial: Trial, round_: Round) -> KeptModel:
    """The model after the last step."""
    steps = kept_steps(Storage(result.store.uri), checkpoints_folder(trial.study, trial.key))
    return load_kept(result.store, trial.text, step=steps[-1] if steps else None, workload=workload_of(round_))


def _untrained(result: Result, trial: Trial, metric: str) -> float | None:
    """The metric before the first step; None where it was no finite number."""
    table = result.store.measurements(trial.study, trial.key)
    if table is None or metric not in table.column_names:
        return None
    rows = table.select(["step", "split", metric]).to_pylist()
    value = next((row[metric] for row in rows if row["step"] == 0 and row["split"] == "validation"), None)
    return value if value is not None and math.isfinite(value) else None


def _numbers(found: Scored, against: Judged | None, pace: Pace) -> dict[str, float | bool | None]:
    return {
        "value": found.value if math.isfinite(found.value) else None,
        "chance": against.chance if against else None,
        "p_value": against.p_value if against else None,
        "constant": found.constant if found.constant is not None and math.isfinite(found.constant) else None,
        "is_better_than_chance": against is not None and against.is_clearly_better,
        "is_fast": pace.is_fast,
        "train_s": pace.training.train_s,
        "time_per_step_s": pace.time_per_step_s,
        "num_steps": pace.training.num_steps,
        "round_s": pace.round_s,
    }


def _verdict(is_better: bool, is_fast: bool, is_simple: bool) -> str:
    if not is_better:
        return "The initial configuration is not clearly better than chance: don't tune it yet."
    simple = "simple" if is_simple else "not yet simple"
    if not is_fast:
        return f"The initial configuration is clearly better than chance and {simple}, but too slow for this round."
    return f"The initial configuration is fast, {simple}, and clearly better than chance."


def _next(running: Procedure, *, is_better: bool, is_fast: bool) -> tuple[NextCommand, ...]:
    job = job_path(running.place.job)
    if is_better and is_fast:
        sentence = "Choose a batch size by measuring what fits and how fast it is:"
        return (NextCommand(sentence=sentence, command=command_of("batch-size", job, running.place.storage)),)
    sentence = (
        f"Look at the training curves on the page. In {job} try a tenth of the learning rate and ten times as much, "
        "then a larger max_train_steps, and look at a few examples with their labels; then check again:"
    )
    if is_better:
        sentence = f"Make the model smaller or the steps fewer in {job}, and check again:"
    return (NextCommand(sentence=sentence, command=running.part.command),)


def _not_trained(running: Procedure, trial: Trial) -> ProcedureRecord:
    record = running.draft(f"The initial configuration cannot be trained: {trial.reason}.", bound_to=BOUND_TO)
    sentence = (
        f"Lower the learning rate (or what else the reason names) in {job_path(running.place.job)}, and check again:"
    )
    return record.model_copy(
        update={
            "is_good": False,
            "sentences": (configuration_sentence(initial_values(running.round), None),),
            "numbers": {"is_better_than_chance": False},
            "next": (NextCommand(sentence=sentence, command=running.part.command),),
        }
    )
