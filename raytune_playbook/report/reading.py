"""Everything that a page or a summary needs, read from a round's folder once."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from raytune_playbook.analysis.evidence import EarlierRound
from raytune_playbook.analysis.judging.metrics import not_reported
from raytune_playbook.analysis.judging.rejudging import rejudged
from raytune_playbook.analysis.plots.axis import scientific
from raytune_playbook.analysis.series.curves import TrialCurves, curves_of
from raytune_playbook.analysis.summary import ArmResult, RoundSummary, summarize
from raytune_playbook.analysis.trials import Trial, TrialId, trials_of
from raytune_playbook.errors import SpecError, StorageError
from raytune_playbook.records.facts import facts_of
from raytune_playbook.records.procedures import ProcedureRecord, readable_procedures
from raytune_playbook.records.scores import ScoreRecord, readable_scores
from raytune_playbook.records.store import Readable, RoundStore, profiles_folder
from raytune_playbook.records.types import RoundRecord, RoundStatus
from raytune_playbook.report.earlier import earlier_rounds
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec

MAX_ARMS_SHOWN = 24

MAX_READ_ALONE = 8
"""The measurements of more trials of a study are read with those of all others, at once."""

MAX_STEP_POINTS = 400
"""Points that a curve of single training steps keeps."""


@dataclass(frozen=True)
class RoundReading:
    """A round's records and their summary.

    Fields:
        status: None before the first trial.
        trials: of all studies, repeats included, judged by ``summary.objective``.
        scores: what kept models scored on whole splits since.
        origin: of another tool's trials, such as ``recorded in optuna.db by Optuna``; None for our own records. Of such
            a round ``record`` and ``studies`` hold placeholders for what no other tool records: nothing of how to
            reproduce it is known.
        inferred: a sentence for whatever nobody has said of such a round, and was inferred.
        curves: of the trials, where they have been read already; `read_curves` has them in any case.
        broken: a sentence for each file of the records that cannot be read, and without which the rest was.
        procedures: what the playbook's procedures came to for it, the latest last.
        earlier: the rounds of the same workload in the storage that trained for as many steps before (rule LN7); None
            where they were not looked for.
    """

    record: RoundRecord
    status: RoundStatus | None
    studies: tuple[StudySpec, ...]
    trials: tuple[Trial, ...]
    summary: RoundSummary
    scores: tuple[ScoreRecord, ...] = ()
    origin: str | None = None
    inferred: tuple[str, ...] = ()
    curves: dict[TrialId, TrialCurves] | None = None
    broken: tuple[str, ...] = ()
    procedures: tuple[ProcedureRecord, ...] = ()
    earlier: tuple[EarlierRound, ...] | None = None

    @property
    def arms(self) -> tuple[ArmResult, ...]:
        """The arms to show: all of them, or the best where they are very many."""
        return self.summary.leading(MAX_ARMS_SHOWN)

    @property
    def facts(self) -> dict[str, str]:
        """What procedures of the round are bound to, as it is now."""
        machines = [trial.machine for trial in self.trials if trial.machine.torch]
        return facts_of(self.studies, self.record.resources, machines[-1] if machines else None)

    @property
    def objective(self) -> Objective:
        return self.summary.objective

    @property
    def varied(self) -> list[str]:
        """The hyperparameters that a search varied, in order."""
        return list(dict.fromkeys(name for study in self.studies for name in study.space))

    @property
    def scientific(self) -> list[str]:
        """The hyperparameters that set the studies apart."""
        return scientific(self.studies)


def read_round(store: RoundStore, *, objective: Objective | None = None) -> RoundReading:
    """Read a round, finished or not, as far as it can be read; of its measurements nothing unless they judge.

    Args:
        store: the round's folder.
        objective: judges the trials by another objective than the round's, from their measurements (rule QR5).

    Raises:
        StorageError: there is no such round.
        SpecError: no evaluation of any trial reports that objective's metric.
    """
    reading = _read(store)
    return reading if objective is None else judged_by(reading, read_curves(store, reading), objective)


def read_all(
    store: RoundStore, *, objective: Objective | None = None
) -> tuple[RoundReading, dict[TrialId, TrialCurves]]:
    """A round and its curves, every file read once; what cannot be read of either stands in ``broken``.

    Raises as `read_round` does.
    """
    reading = _read(store)
    curves, broken = _curves(store, reading)
    earlier = earlier_rounds(store, reading.record)
    reading = replace(reading, broken=(*reading.broken, *broken), curves=curves, earlier=earlier)
    return (reading if objective is None else judged_by(reading, curves, objective)), curves


def _read(store: RoundStore) -> RoundReading:
    record = store.round()
    studies = tuple(store.studies())
    broken: list[str] = []
    trials: list[Trial] = []
    # One study at a time: where a hyperparameter is text in one study and absent in another, their columns differ.
    for study in studies:
        rows = store.readable_trials(study.name)
        trials += trials_of(rows.found)
        broken += rows.broken
    try:
        status = store.status()
    except StorageError as error:  # how the round stands is not known, but what its trials came to is
        status = None
        broken.append(str(error))
    scores, procedures = readable_scores(store), _procedures(store, record)
    summary = summarize(studies, trials, record.objective)
    return RoundReading(
        record,
        status,
        studies,
        tuple(trials),
        summary,
        tuple(scores.found),
        broken=(*broken, *scores.broken, *procedures.broken),
        procedures=tuple(procedures.found),
    )


def _procedures(store: RoundStore, record: RoundRecord) -> Readable[list[ProcedureRecord]]:
    """The round's own, and for a part of one that procedure: its round may never be run, and have no page."""
    own, part = readable_procedures(store), record.part_of
    if part is None:
        return own
    whole = readable_procedures(RoundStore(store.storage, part.round))
    return Readable([*own.found, *(each for each in whole.found if record.name in each.rounds)], own.broken)


def judged_by(reading: RoundReading, curves: dict[TrialId, TrialCurves], objective: Objective) -> RoundReading:
    """The same round with its trials judged by another objective (rule QR5); it keeps the curves it was judged by.

    Raises:
        SpecError: no evaluation of any trial reports that objective's metric.
    """
    metrics: dict[str, set[str]] = {}
    for each in curves.values():
        for split, metric in each.evaluations:
            metrics.setdefault(split, set()).add(metric)
    if metrics and (sentence := not_reported(objective, metrics)) is not None:
        raise SpecError(sentence)
    trials = rejudged(reading.trials, curves, objective)
    summary = summarize(reading.studies, trials, objective)
    return replace(reading, trials=trials, summary=summary, curves=curves)


def read_curves(store: RoundStore, reading: RoundReading) -> dict[TrialId, TrialCurves]:
    """The curves of all trials that have measurements: one pass over them, in parallel.

    The curves of single steps are thinned to `MAX_STEP_POINTS`; their digests are from all steps.
    """
    return reading.curves if reading.curves is not None else _curves(store, reading)[0]


def _curves(store: RoundStore, reading: RoundReading) -> tuple[dict[TrialId, TrialCurves], tuple[str, ...]]:
    """The curves of all trials that have measurements, and a sentence for each file of them that cannot be read."""
    found: dict[TrialId, TrialCurves] = {}
    broken: list[str] = []
    for study in reading.studies:
        make = partial(_curves_of, study.name)
        readable = store.readable_measurements(study.name, make)
        found |= {curves.trial: curves for curves in readable.found.values()}
        broken += readable.broken
    return {trial.id: found[trial.id] for trial in reading.trials if trial.id in found}, tuple(broken)


def _curves_of(study: str, key: str, measurements: pa.Table) -> TrialCurves:
    return curves_of((study, key), measurements, max_step_points=MAX_STEP_POINTS)


def read_measurements(store: RoundStore, trials: Iterable[Trial]) -> dict[TrialId, pa.Table]:
    """The measurements of these trials, as far as they have any that can be read."""
    by_study: dict[str, set[str]] = {}
    for trial in trials:
        by_study.setdefault(trial.study, set()).add(trial.key)
    found: dict[TrialId, pa.Table] = {}
    for study, keys in by_study.items():
        if len(keys) > MAX_READ_ALONE:
            make = partial(_copied, keys)
            tables = store.readable_measurements(study, make).found
        else:
            tables = {key: _measurements(store, study, key) for key in keys}
        found |= {(study, key): table for key, table in tables.items() if table is not None}
    return found


def _copied(keys: Container[str], key: str, measurements: pa.Table) -> pa.Table | None:
    """Rows of its own for a trial that is wanted, which do not keep all others in memory."""
    return measurements.take(pa.array(range(measurements.num_rows), pa.int64())) if key in keys else None


def _measurements(store: RoundStore, study: str, key: str) -> pa.Table | None:
    try:
        return store.measurements(study, key)
    except StorageError:  # `read_all` says so
        return None


def read_logs(store: RoundStore, studies: Iterable[StudySpec]) -> Mapping[TrialId, tuple[str, ...]]:
    """Each trial's log files, as paths within the round's folder, in the order of attempts and ranks."""
    found: dict[TrialId, tuple[str, ...]] = {}
    for study in studies:
        for file in store.storage.files(f"{store.name}/{study.name}/logs"):
            key = file.rsplit(".", 3)[0]  # <trial>.<attempt>.<rank>.log
            found[study.name, key] = (*found.get((study.name, key), ()), f"{study.name}/logs/{file}")
    return found


def read_profiles(store: RoundStore, studies: Iterable[StudySpec]) -> tuple[str, ...]:
    """The profiler traces of a round (rule PI4), as paths within its folder."""
    folders = [profiles_folder(study.name) for study in studies]
    return tuple(f"{folder}/{file}" for folder in folders for file in store.storage.files(f"{store.name}/{folder}"))
