"""``raytune-playbook variance``: how much of a round's best result is chance (rules AD1, AD2, AD7)."""

from __future__ import annotations

from rich.console import Console

from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.jobs.preflight import datasets_of, workload_of
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.command import part_of_round
from raytune_playbook.procedures.launch.configuration import round_of
from raytune_playbook.procedures.procedure import Procedure, procedure
from raytune_playbook.procedures.variance.points import best_point, done_for, retrained
from raytune_playbook.procedures.variance.retrainings import (
    NUM_LEAST,
    Point,
    num_by_price,
    price_sentence,
    seconds_of,
)
from raytune_playbook.procedures.variance.words import Variances, completed, next_of
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.facts import CODE, HARDWARE, MODEL, NUM_STEPS, OPTIMIZER, WORKERS
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.data_split import DATA_SPLIT, refuse_data_split
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete
from raytune_playbook.study.round import Round

BOUND_TO = (MODEL, CODE, OPTIMIZER, WORKERS, HARDWARE, NUM_STEPS)
"""What a variance was measured with, and holds for."""


def variance(
    round: Round,
    *,
    num_retrains: int | None = None,
    study_seeds: int | None = None,
    data_splits: int | None = None,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    again: bool = False,
    console: Console | None = None,
) -> ProcedureRecord:
    """Train a round's best configuration again with other seeds, and say how much its result changes by chance.

    The retrainings stand in the round's records: `launch` goes on with them, and so does a later call that asks for
    more. Those of code that has changed since do not count.

    Args:
        round: that was run.
        num_retrains: of its best trial; by default 20, or as many as one gang trains in an hour, at least 5.
        study_seeds: so many times the same space is searched again with another seed of the search (rule AD2).
        data_splits: in so many other divisions of the examples the best configuration is trained (rule AD7).
        storage, gangs, address, job, console: as for `raytune_playbook.run`.
        again: do it where it was done before and nothing has changed.

    Returns:
        Its ``numbers``: ``trial`` (STUDY/INDEX), ``num_retrains``, ``values`` (of those that were completed),
        ``median``, ``std`` (None where one was infeasible), ``interval`` (of the median), ``num_infeasible``, and
        ``searched`` (what the trial's own run had); where they were asked for ``study_values`` (the best of each
        search, the round's own first) and ``study_std``, ``split_values`` and ``split_std``; ``study_bound`` (what
        another search finds at least in 9 of 10 cases; how much better it can be, the trials there are do not tell).

    Raises:
        InputError: the round was not run, or none of its trials was completed, or there is no other division.
        RunError: a training cannot be run.
    """
    place = Place(storage, console or new_console(), gangs, address, job)
    options = {"num_retrains": num_retrains, "study_seeds": study_seeds, "data_splits": data_splits}
    part = part_of_round("variance", round, place, options)
    _refuse_numbers(num_retrains, study_seeds, data_splits)
    point, picked = best_point(round, storage)
    divided = _divided(point, data_splits) if data_splits else None
    following = next_of(point, storage)
    if not again and (record := done_for(part, round, place, {"trial": point.text}, following=following)):
        return record
    trials = trials_of(RoundStore(Storage(storage), round.name).trials())
    number = num_retrains or num_by_price(trials)
    with procedure(part, point.round, place) as p:
        p.say(price_sentence(1, number, seconds_of(trials)))
        found = Variances(
            point=point,
            picked=picked,
            trials=trials,
            retrainings=retrained(p, point, number),
            searches=tuple(
                _searched_again(p, point.round, number, is_used_again=not again)
                for number in range(1, (study_seeds or 0) + 1)
            ),
            splits=_trained_in(p, divided, is_used_again=not again) if divided is not None else (),
        )
        return p.conclude(completed(p.draft("", bound_to=BOUND_TO), found, following))


def _refuse_numbers(num_retrains: int | None, study_seeds: int | None, data_splits: int | None) -> None:
    if num_retrains is not None and num_retrains < NUM_LEAST:
        raise SpecError(
            f"num_retrains: from fewer than {NUM_LEAST} retrainings nothing can be said, but got {num_retrains}; give "
            f"{NUM_LEAST} or more, or leave it out."
        )
    if study_seeds is not None and study_seeds < 1:
        raise SpecError(
            f"study_seeds: at least one search is compared with the round's own, but got {study_seeds}; give 1 or "
            "more, or leave it out."
        )
    if data_splits is not None and data_splits < 2:
        raise SpecError(
            f"data_splits: a spread needs several divisions, but got {data_splits}; give 2 or more, or leave it out."
        )


def _divided(point: Point, number: int) -> Round:
    """The round that trains the best configuration in other divisions."""
    others = Discrete(range(1, number + 1))
    goal = "How much does the result of the best configuration depend on the division of the examples?"
    found = round_of(point.round, point.configuration, goal, {DATA_SPLIT: others})
    refuse_data_split(found, datasets_of(workload_of(found)))
    return found


def _searched_again(p: Procedure, round_: Round, number: int, *, is_used_again: bool) -> tuple[Trial, ...]:
    """All trials of the same search with another seed."""
    p.say(f"Searching the same space with another seed, {number}:")
    seeded = round_.model_copy(
        update={"seed": (round_.seed + number) % 2**64, "goal": "How much does the best trial depend on the search?"}
    )
    return trials_of(p.run(f"seed-{number}", seeded, is_used_again=is_used_again).trials)


def _trained_in(p: Procedure, divided: Round, *, is_used_again: bool) -> tuple[Trial, ...]:
    p.say(f"Training the best configuration in {divided.budget.num_trials} other divisions of the examples:")
    return trials_of(p.run("splits", divided, is_used_again=is_used_again).trials)
