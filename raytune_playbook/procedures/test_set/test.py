"""``raytune-playbook test``: the test set, once, after a launch; and the end of a workload (rules AD6, AD8)."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from raytune_playbook.analysis.trials import trials_of
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.jobs.preflight import workload_of
from raytune_playbook.engine.rounds.recorded import as_recorded
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.engine.trained.score import score
from raytune_playbook.errors import InputError, SpecError, StorageError
from raytune_playbook.procedures.command import command_of, part_of_round
from raytune_playbook.procedures.launch.configuration import Configuration, round_of
from raytune_playbook.procedures.procedure import Procedure, procedure
from raytune_playbook.procedures.test_set.folding import fixed_length, folded
from raytune_playbook.procedures.test_set.looks import Look, looks_of
from raytune_playbook.procedures.test_set.words import Tested, completed
from raytune_playbook.procedures.variance.variance import BOUND_TO
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.registry import (
    ClosedRecord,
    LaunchRecord,
    TestRecord,
    close_workload,
    read_launches,
    write_test,
)
from raytune_playbook.records.scores import TEST, ScoreRecord, now
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.round import Round
from raytune_playbook.study.trial import trial_key


def test(
    round: Round,
    *,
    reason: str | None = None,
    fold_validation: bool = False,
    confirmed: bool = False,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    console: Console | None = None,
) -> ProcedureRecord:
    """Score the model that was launched from a round on the test set: once, when tuning is over.

    Args:
        round: whose best configuration was launched.
        reason: why the test set is read again, where it was read before.
        fold_validation: train the launched configuration on training and validation examples together, for a length
            that is fixed beforehand, and score that model. The workload has no further launches then.
        confirmed: that it ends there, for ``fold_validation``.
        storage, gangs, address, job, console: as for `raytune_playbook.run`.

    Returns:
        Its ``numbers``: ``launch`` (its number), ``trial`` (STUDY/INDEX), ``metric``, ``test``, ``standard_error``,
        ``num_examples``, ``validation`` (of the same model; None where that was folded), ``validation_median`` (of the
        launch's retrainings), ``num_looks`` (at this workload's test set, this one included), ``is_folded`` and
        ``num_steps``.

    Raises:
        InputError: nothing was launched from the round, it has no test set, that was read before and no reason is
            given, or folding was not confirmed.
        RunError: the training on folded examples cannot be run.
    """
    place = Place(storage, console or new_console(), gangs, address, job)
    store = RoundStore(Storage(storage), round.name)
    launched, round = _launched(store, round)
    metric = launched.objective.metric
    before = looks_of(store.storage, launched.workload)
    _refuse_look(launched, before, reason, metric)
    part = part_of_round("test", round, place, {"reason": reason, "fold_validation": fold_validation or None})
    found = Tested(launch=launched, looks=tuple(before), reason=reason)
    if not fold_validation:
        scored = score(store, launched.trial, TEST, workload=workload_of(round), console=place.console)
        return _concluded(Procedure(part, round, place), replace(found, score=scored))
    if not confirmed:
        raise SpecError(
            "Folding the validation set into training ends this workload: nothing can be launched or compared after it "
            "(rule AD8). Confirm that: "
            f"{command_of('test', round.name, storage, {'fold_validation': True, 'yes': True})}"
        )
    with procedure(part, round, place) as p:
        return _concluded(p, _tested_folded(p, found))


test.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's


def _launched(store: RoundStore, round_: Round) -> tuple[LaunchRecord, Round]:
    found = [each for each in read_launches(store.storage) if each.round == store.name] if store.exists() else []
    if not found:
        store.round()  # refuses where there is no such round
        command = command_of("launch", store.name, store.storage.uri, {"complexity": "none"})
        raise StorageError(
            f"The test set is read only after a launch (rule AD6), but nothing was launched from {store.name!r}; "
            f"decide that first: {command}"
        )
    return found[-1], as_recorded(store, round_)


def _refuse_look(launched: LaunchRecord, before: list[Look], reason: str | None, metric: str) -> None:
    if reason is not None and not reason.strip():
        raise SpecError("reason: why the test set is read again is said in words, but got nothing; say it.")
    if before and reason is None:
        times = "once" if len(before) == 1 else f"{len(before)} times"
        raise InputError(
            f"The test set is read once (rule AD6), but that of {launched.workload.name} was read {times} before, last "
            f"{before[-1].text(metric)}; use that number, or say with --reason why it is read again."
        )


def _tested_folded(p: Procedure, found: Tested) -> Tested:
    launched, round_ = found.launch, p.round
    examples = p.store.round().examples
    counts = {} if examples is None else examples.num_examples
    number = counts.get("train", 0) + counts.get("validation", 0)
    workload = folded(workload_of(round_), number)
    own = [each for each in trials_of(p.store.trials(launched.study)) if each.index == launched.index]
    configuration = Configuration(launched.configuration, launched.max_train_steps, launched.evaluation_interval_steps)
    configuration, why = fixed_length(configuration, own)
    p.say(f"Training on training and validation examples together, for {configuration.max_train_steps} steps ({why}).")
    goal = f"The last training of {launched.workload.name}: the validation set is folded into training"
    last = round_of(round_, configuration, goal).model_copy(
        update={"workload": workload, "objective": round_.objective.model_copy(update={"over": "last"})}
    )
    result = p.run("folded", last)
    close_workload(
        p.store.storage,
        ClosedRecord(workload=launched.workload, round=round_.name, why=goal, closed_at=now()),
    )
    trial, steps = f"{last.studies[0].name}/{trial_key(0)}", configuration.max_train_steps
    scored = score(result.store, trial, TEST, step=steps, workload=workload, console=p.place.console)
    return replace(found, score=scored, folded_round=result.store.name, num_steps=steps, why_steps=why)


def _concluded(p: Procedure, found: Tested) -> ProcedureRecord:
    if found.score is not None:
        write_test(p.store.storage, _record(found, found.score, p.store.name))
    return p.conclude(completed(p.draft("", bound_to=BOUND_TO), found, p.place.storage))


def _record(found: Tested, scored: ScoreRecord, round_name: str) -> TestRecord:
    metric = found.launch.objective.metric
    return TestRecord(
        launch=found.launch.number,
        round=found.folded_round or round_name,
        trial=f"{scored.study}/{scored.trial}",
        metric=metric,
        value=scored.metrics.get(metric),
        standard_error=scored.metrics.get(f"standard_error.{metric}"),
        num_examples=scored.num_examples,
        reason=found.reason,
        is_folded=found.folded_round is not None,
        tested_at=scored.scored_at,
    )
