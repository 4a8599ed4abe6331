"""A point of a round that is trained again: the one that a search has picked, or one that a procedure trains itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from raytune_playbook.analysis.judging.best import best_trial
from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.engine.rounds.recorded import as_recorded
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.errors import StorageError
from raytune_playbook.procedures.procedure import Procedure, done_before
from raytune_playbook.procedures.variance.retrainings import (
    Point,
    Retrainings,
    is_outdated,
    point_at,
    retrainings_of,
)
from raytune_playbook.records.procedures import NextCommand, ProcedureRecord, newest_procedure
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Outcome, Part
from raytune_playbook.study.round import Round


def best_point(round_: Round, storage: str) -> tuple[Point, Trial]:
    """The best trial of a round that was run, by the objective that stands in its record.

    Raises:
        StorageError: there is no such round, another one has its name, or none of its trials was completed.
    """
    store = RoundStore(Storage(storage), round_.name)
    if not store.exists():
        raise StorageError(
            f"A round must have been run before its best configuration is trained again, but {store.storage.uri!r} "
            f"holds no {round_.name!r}; run it first: raytune-playbook run JOB.py"
        )
    round_ = as_recorded(store, round_)
    found = best_trial(trials_of(store.trials()), store.round().objective)
    if found is None:
        raise StorageError(
            f"A round needs a completed trial before its best configuration is trained again, but {round_.name!r} has "
            f"none; go on with it first: {shlex.join(['raytune-playbook', 'resume', round_.name])}"
        )
    return point_at(round_, found.study, found.index, is_picked=True), found


def retrained(p: Procedure, point: Point, num_retrains: int) -> Retrainings:
    """Train a point again until so many trainings by today's code count; those that were made before do, too."""
    store = RoundStore(Storage(p.place.storage), point.round.name)
    repeats = [each for each in _trials(store, point) if each.repeat]
    source_hash = _source_hash(point)
    no_use = sum(each.outcome is Outcome.FAILED or is_outdated(each, source_hash) for each in repeats)
    p.retrain([(point.study, point.index)], num_retrains + no_use - _num_first(store, point), point.round)
    return found_retrainings(store, point)


def trained_alone(p: Procedure, what: str, round_: Round) -> Point:
    """Train the one configuration of a round as part of a procedure, or take the one that was trained before."""
    name = _trained_before(p, what, round_)
    if name is None:
        p.run(what, round_)
        name = p.ran[-1]
    elif name not in p.ran:
        p.ran.append(name)
    (study,) = (named := round_.model_copy(update={"name": name})).studies
    return point_at(named, study.name, 0, is_picked=False)


def done_for(
    part: Part,
    round_: Round,
    place: Place,
    numbers: Mapping[str, object],
    *,
    following: tuple[NextCommand, ...] | None = None,
) -> ProcedureRecord | None:
    """As `done_before`, where the record is about the same, too: such as the same best trial."""
    record = newest_procedure(RoundStore(Storage(place.storage), round_.name), part.procedure)
    if record is None or any(record.numbers.get(name) != value for name, value in numbers.items()):
        return None
    return done_before(part, round_, place, following=following)


def _trained_before(p: Procedure, what: str, round_: Round) -> str | None:
    """A procedure's rounds keep their retrainings, which a later run of it needs not make again."""
    base, number = f"{p.round.name}-{p.part.procedure}-{what}", 1
    while True:
        name = base if number == 1 else f"{base}-{number}"
        store = RoundStore(Storage(p.place.storage), name)
        if not store.exists():
            return None
        named = round_.model_copy(update={"name": name})
        is_same = store.round().fingerprint == named.fingerprint
        first = [each for each in trials_of(store.trials()) if not each.repeat and each.outcome is not None]
        if is_same and first and not is_outdated(first[0], workload_of(named).spec().source_hash):
            return name
        number += 1


def found_retrainings(store: RoundStore, point: Point) -> Retrainings:
    """What retraining a point has come to so far."""
    return retrainings_of(
        _trials(store, point),
        (point.study, point.index),
        store.round().objective,
        _source_hash(point),
        with_first=not point.is_picked,
    )


def _trials(store: RoundStore, point: Point) -> list[Trial]:
    found = trials_of(store.trials(point.study))
    return [each for each in found if each.index == point.index]


def _num_first(store: RoundStore, point: Point) -> int:
    """1 where the first run counts as one of them."""
    first = [each for each in _trials(store, point) if not each.repeat]
    counts = (Outcome.COMPLETED, Outcome.INFEASIBLE)
    is_current = bool(first) and first[0].outcome in counts and not is_outdated(first[0], _source_hash(point))
    return int(is_current and not point.is_picked)


def is_current(trial: Trial, point: Point) -> bool:
    """Whether today's code has trained it."""
    return not is_outdated(trial, _source_hash(point))


def _source_hash(point: Point) -> str:
    return workload_of(point.round).spec().source_hash
