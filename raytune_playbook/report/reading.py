"""Everything that a page or a summary needs, read from a round's folder once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from raytune_playbook.analysis.axis import scientific
from raytune_playbook.analysis.curves import TrialCurves, curves_of
from raytune_playbook.analysis.metrics import not_reported
from raytune_playbook.analysis.rejudging import rejudged
from raytune_playbook.analysis.summary import ArmResult, RoundSummary, summarize
from raytune_playbook.analysis.trials import Trial, TrialId, trials_of
from raytune_playbook.errors import SpecError
from raytune_playbook.records.scores import ScoreRecord, read_scores
from raytune_playbook.records.store import RoundStore, profiles_folder
from raytune_playbook.records.types import RoundRecord, RoundStatus
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.study import StudySpec

MAX_ARMS_SHOWN = 24

MAX_STEP_POINTS = 400
"""Points that a curve of single training steps keeps."""


@dataclass(frozen=True)
class RoundReading:
    """A round's records and their summary.

    Fields:
        status: None before the first trial.
        trials: of all studies, repeats included, judged by ``summary.objective``.
        scores: what kept models scored on whole splits since.
        curves: of the trials, where they have been read to judge them; `read_curves` has them in any case.
    """

    record: RoundRecord
    status: RoundStatus | None
    studies: tuple[StudySpec, ...]
    trials: tuple[Trial, ...]
    summary: RoundSummary
    scores: tuple[ScoreRecord, ...] = ()
    curves: dict[TrialId, TrialCurves] | None = None

    @property
    def arms(self) -> tuple[ArmResult, ...]:
        """The arms to show: all of them, or the best where they are very many."""
        return self.summary.leading(MAX_ARMS_SHOWN)

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
    """Read a round, finished or not.

    Args:
        store: the round's folder.
        objective: judges the trials by another objective than the round's, from their measurements (rule QR5).

    Raises:
        StorageError: there is no such round.
        SpecError: no evaluation of any trial reports that objective's metric.
    """
    record = store.round()
    studies = tuple(store.studies())
    # One study at a time: where a hyperparameter is text in one study and absent in another, their columns differ.
    trials = tuple(trial for study in studies for trial in trials_of(store.trials(study.name)))
    summary = summarize(record, studies, trials, record.objective)
    reading = RoundReading(record, store.status(), studies, trials, summary, tuple(read_scores(store)))
    return reading if objective is None else judged_by(reading, read_curves(store, reading), objective)


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
    summary = summarize(reading.record, reading.studies, trials, objective)
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
    """The measurements of these trials, as far as they have any."""
    tables = {trial.id: store.measurements(*trial.id) for trial in trials}
    return {id_: table for id_, table in tables.items() if table is not None}


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
