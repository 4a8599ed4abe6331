"""What a candidate is compared with: another round's best, what was launched last, or what its round started from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from raytune_playbook.engine.jobs.job_file import load_job
from raytune_playbook.errors import InputError, SpecError, StorageError
from raytune_playbook.procedures.launch.configuration import (
    Configuration,
    changes,
    initial_configuration,
)
from raytune_playbook.procedures.variance.points import best_point
from raytune_playbook.procedures.variance.retrainings import Point, point_at
from raytune_playbook.records.registry import LaunchRecord, is_same_workload, newest_launch
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import ExamplesRecord
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective

OF_THE_EXAMPLES = ("data_split", "evaluation_sample")
"""Hyperparameters that decide which validation examples count: they must be the candidate's."""


@dataclass(frozen=True)
class Baseline:
    """What a candidate is held against.

    Fields:
        text: what it is, in words.
        point: where it was trained, in whose round it is trained again; None where it is trained as part of the
            launch, by the candidate's code.
        launch: the number of the launch that it is; None where it is none.
    """

    text: str
    configuration: Configuration
    point: Point | None = None
    launch: int | None = None


def baseline_of(candidate: Point, against: Round | None, storage: str) -> Baseline:
    """Find it.

    Args:
        against: whose best trial it is; None for what was launched last, or else what the round started from.

    Raises:
        InputError: there is none, it is the candidate itself, or the two cannot be compared.
    """
    if against is not None:
        return _best_of(candidate, against, storage)
    newest = newest_launch(Storage(storage), candidate.round.studies[0].workload)
    if newest is not None:
        return _launched(candidate, newest, storage)
    initial = with_examples_of(candidate.configuration, initial_configuration(candidate.round))
    if not changes(initial, candidate.configuration):
        raise SpecError(
            f"A launch changes the configuration, but the best of {candidate.round.name!r} is what the round started "
            "from; run a round that varies something, or name a baseline with --against."
        )
    return Baseline("what the round started from (defaults of what it varied)", initial)


def with_examples_of(candidate: Configuration, other: Configuration) -> Configuration:
    """Another configuration, judged on the candidate's validation examples."""
    own: Mapping[str, Value] = {name: candidate.values[name] for name in OF_THE_EXAMPLES if name in candidate.values}
    return replace(other, values={**other.values, **own})


def is_point_of(launch: LaunchRecord, point: Point) -> bool:
    """Whether a launch is of this point."""
    return (launch.round, launch.study, launch.index) == (point.round.name, point.study, point.index)


def _best_of(candidate: Point, against: Round, storage: str) -> Baseline:
    if against.name == candidate.round.name:
        raise SpecError(
            f"A baseline is another round's best trial, but --against names {against.name!r} itself; name "
            "another round."
        )
    point, _ = best_point(against, storage)
    store = RoundStore(Storage(storage), against.name)
    own = RoundStore(Storage(storage), candidate.round.name)
    _require_same_workload(own, store)
    require_same_objective(own.round().objective, store.round().objective, f"round {against.name!r}")
    if against.resources == candidate.round.resources:
        _require_same_examples(candidate, point, own, store)
        return Baseline(f"the best of {against.name}", point.configuration, point)
    return Baseline(f"the best of {against.name}", _today(candidate, point.configuration))


def _launched(candidate: Point, launch: LaunchRecord, storage: str) -> Baseline:
    if is_point_of(launch, candidate):
        raise StorageError(
            f"A candidate replaces what is in use, but the best of {candidate.round.name!r} is launch {launch.number} "
            "already; run another round first, or name another baseline with --against."
        )
    require_same_objective(
        RoundStore(Storage(storage), candidate.round.name).round().objective,
        launch.objective,
        f"launch {launch.number}",
    )
    text = f"launch {launch.number} ({launch.trial} of {launch.round})"
    point = _where_it_was(candidate, launch, storage)
    if point is not None:
        return Baseline(text, point.configuration, point, launch.number)
    known = Configuration(launch.configuration, launch.max_train_steps, launch.evaluation_interval_steps)
    return Baseline(text, _today(candidate, known), None, launch.number)


def _where_it_was(candidate: Point, launch: LaunchRecord, storage: str) -> Point | None:
    """The launched point in its own round, where that can be gone on with as it was; else None."""
    if launch.round == candidate.round.name:
        return point_at(candidate.round, launch.study, launch.index, is_picked=True)
    store, own = RoundStore(Storage(storage), launch.round), RoundStore(Storage(storage), candidate.round.name)
    try:
        round_ = load_job(launch.job).round if launch.job is not None else None
        if round_ is None or round_.name != launch.round or store.round().fingerprint != round_.fingerprint:
            return None
        round_ = round_.extended(store.round().budget.num_trials)
    except InputError:  # its job file is gone, or defines another round by now
        return None
    if round_.resources != candidate.round.resources:
        return None
    point = point_at(round_, launch.study, launch.index, is_picked=True)
    _require_same_examples(candidate, point, own, store)
    return point


def _today(candidate: Point, other: Configuration) -> Configuration:
    """A configuration of earlier code for the candidate's: what that does not know is left out, and vice versa."""
    defaults = candidate.round.defaults
    values = {name: other.values.get(name, default) for name, default in defaults.items()}
    return with_examples_of(candidate.configuration, replace(other, values=values))


def _require_same_workload(own: RoundStore, other: RoundStore) -> None:
    one, two = own.round().workload, other.round().workload
    if not is_same_workload(one, two):
        raise SpecError(
            f"A candidate and its baseline are of one workload, but {own.name!r} trains "
            f"{_named(one.name, one.settings)} and {other.name!r} {_named(two.name, two.settings)}; name a round of "
            "the same."
        )


def require_same_objective(own: Objective, other: Objective, what: str) -> None:
    """Check that two rounds are judged alike.

    Raises:
        SpecError: they are not.
    """
    if own != other:
        raise SpecError(
            f"A candidate and its baseline are judged by one objective, but the candidate's is {_judged(own)} and that "
            f"of {what} {_judged(other)}; run the candidate's round again by that one, under another name."
        )


def _require_same_examples(candidate: Point, point: Point, own: RoundStore, other: RoundStore) -> None:
    split = own.round().objective.split
    for name in OF_THE_EXAMPLES:
        value, others = candidate.configuration.values.get(name), point.configuration.values.get(name)
        if value != others:
            raise SpecError(
                f"A candidate and its baseline are judged on the same examples, but {name} is {value} in {own.name!r} "
                f"and {others} in {other.name!r}; run the candidate's round again with {name}={others}."
            )
    mine, theirs = own.round().examples, other.round().examples
    if mine is not None and theirs is not None and _examples(mine, split) != _examples(theirs, split):
        raise SpecError(
            f"A candidate and its baseline are judged on the same examples, but {own.name!r} has "
            f"{_examples(mine, split)} and {other.name!r} {_examples(theirs, split)}; run one of them again on the "
            "other's."
        )


def _examples(record: ExamplesRecord, split: str) -> str:
    source = record.sources.get(split, record.sources.get("all"))
    return f"{record.num_examples.get(split)} {split} examples of {source}"


def _named(name: str, settings: Mapping[str, Value]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def _judged(objective: Objective) -> str:
    return f"the {objective.over} {objective.name} ({objective.goal}d)"
