"""What a storage has recorded of each workload: rounds, what procedures came to, and the newest round's findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from raytune_playbook.analysis.findings.finding import Finding
from raytune_playbook.analysis.next_study.next_study import NextStudy
from raytune_playbook.analysis.wording import number_text
from raytune_playbook.errors import InputError
from raytune_playbook.records.facts import CODE, SOURCE, facts_of
from raytune_playbook.records.procedures import ProcedureRecord, readable_procedures
from raytune_playbook.records.registry import (
    ClosedRecord,
    LaunchRecord,
    TestRecord,
    closed_workload,
    read_launches,
    read_tests,
)
from raytune_playbook.records.scores import TEST, ScoreRecord, readable_scores
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.records.types import Part, RoundRecord, RoundState
from raytune_playbook.report.insight import Insight, insight_of
from raytune_playbook.report.reading import read_all


@dataclass(frozen=True)
class RecordedRound:
    """A round, as far as advice needs it.

    Fields:
        part_of: the procedure that ran it; None for a round of its own, which explores.
        job: the job file; None for a round of the Python API.
        state: None before its first trial.
        facts: what procedures are bound to, as it has them.
        batch_sizes: that it trains with; empty where that is not known.
        is_candidate: whether it searches nothing, as a candidate that is one point: it explores nothing.
    """

    name: str
    created_at: str
    job: str | None = None
    part_of: Part | None = None
    state: RoundState | None = None
    max_train_steps: int = 1
    facts: Mapping[str, str] = field(default_factory=dict)
    batch_sizes: tuple[int, ...] = ()
    is_candidate: bool = False


@dataclass(frozen=True)
class Learned:
    """What a round has come to.

    Fields:
        best: its best trial in words, such as ``validation error 0.012 (kind=a/3)``; None where none was completed.
        num_ended, num_planned: trials.
    """

    findings: tuple[Finding, ...]
    next_study: NextStudy
    best: str | None
    num_ended: int
    num_planned: int


@dataclass(frozen=True)
class ProjectRecords:
    """All that is recorded of one workload.

    Fields:
        rounds: of their own, which search, the oldest first.
        candidates: of their own, which search nothing, the oldest first.
        parts: rounds that procedures ran, the oldest first.
        procedures: the newest record of each procedure of each round, the latest last.
        learned: from the newest round of its own; None without one.
        test_scores: what kept models scored on the test set, the latest last.
        launches: of the registry, the newest last, which is in use.
        tests: of these launches, the latest last.
        closed: why there are no further launches; None where there may be.
    """

    workload: str
    rounds: tuple[RecordedRound, ...] = ()
    candidates: tuple[RecordedRound, ...] = ()
    parts: tuple[RecordedRound, ...] = ()
    procedures: tuple[ProcedureRecord, ...] = ()
    learned: Learned | None = None
    test_scores: tuple[ScoreRecord, ...] = ()
    launches: tuple[LaunchRecord, ...] = ()
    tests: tuple[TestRecord, ...] = ()
    closed: ClosedRecord | None = None

    @property
    def newest(self) -> RecordedRound | None:
        """The newest round of its own."""
        return self.rounds[-1] if self.rounds else None

    @property
    def candidate(self) -> RecordedRound | None:
        """The newest candidate since the newest round of its own."""
        newest = self.newest
        later = [each for each in self.candidates if newest is None or each.created_at >= newest.created_at]
        return later[-1] if later else None

    @property
    def facts(self) -> dict[str, str]:
        """What is known by now, to see what is stale: as the rounds have it, and before the first as procedures do."""
        if self.newest is not None:
            found = dict(self.newest.facts)
            for record in self.procedures:  # the code may have changed since the round began
                if record.round == self.newest.name and record.ended_at >= self.newest.created_at:
                    found |= {name: record.bound_to[name] for name in (CODE, SOURCE) if name in record.bound_to}
            return found
        known: dict[str, str] = {}
        for record in self.procedures:
            known |= record.bound_to
        return known

    @property
    def last_at(self) -> str:
        """When something was last begun or concluded."""
        rounds = [each.created_at for each in (*self.rounds, *self.candidates, *self.parts)]
        return max([*rounds, *(record.ended_at for record in self.procedures)], default="")


def read_projects(storage: Storage) -> tuple[list[ProjectRecords], tuple[str, ...]]:
    """The projects in a storage, the one that was worked on last at the end, and what could not be read."""
    broken: list[str] = []
    rounds: dict[str, list[RoundRecord]] = {}
    procedures: dict[str, list[ProcedureRecord]] = {}
    for name in storage.folders():
        store = RoundStore(storage, name)
        readable = readable_procedures(store)
        broken += readable.broken
        for procedure in readable.found:
            procedures.setdefault(procedure.workload, []).append(procedure)
        try:
            if store.exists():
                record = store.round()
                rounds.setdefault(record.workload.name, []).append(record)
        except InputError as error:
            broken.append(str(error))
    found = []
    for workload in {**rounds, **procedures}:
        own = sorted(rounds.get(workload, ()), key=lambda record: record.created_at)
        try:
            project = _project(storage, workload, own, procedures.get(workload, []))
        except InputError as error:
            broken.append(str(error))
            continue
        try:
            found.append(_with_registry(storage, project, own))
        except InputError as error:  # what was launched is not known then, and is told
            broken.append(str(error))
            found.append(project)
    return sorted(found, key=lambda project: project.last_at), tuple(dict.fromkeys(broken))


def _project(
    storage: Storage, workload: str, rounds: list[RoundRecord], procedures: list[ProcedureRecord]
) -> ProjectRecords:
    recorded = [_recorded(RoundStore(storage, record.name), record) for record in rounds]
    of_their_own = [each for each in recorded if each.part_of is None]
    own = [each for each in of_their_own if not each.is_candidate]
    insight = _insight(RoundStore(storage, own[-1].name)) if own else None
    if insight is not None:
        own[-1] = replace(own[-1], facts=insight.reading.facts)  # the hardware is known from its trials
    scores = [score for each in recorded for score in readable_scores(RoundStore(storage, each.name)).found]
    return ProjectRecords(
        workload=workload,
        rounds=tuple(own),
        candidates=tuple(each for each in of_their_own if each.is_candidate),
        parts=tuple(each for each in recorded if each.part_of is not None),
        procedures=tuple(sorted(procedures, key=lambda record: record.ended_at)),
        learned=None if insight is None else _learned(insight),
        test_scores=tuple(sorted((s for s in scores if s.split == TEST), key=lambda score: score.scored_at)),
    )


def _with_registry(storage: Storage, project: ProjectRecords, rounds: list[RoundRecord]) -> ProjectRecords:
    """With what was launched of the workload as its newest round trains it."""
    if not rounds:
        return project
    launches = read_launches(storage, rounds[-1].workload)
    numbers = {each.number for each in launches}
    tests = [test for test in read_tests(storage) if test.launch in numbers]
    closed = closed_workload(storage, rounds[-1].workload)
    return replace(project, launches=tuple(launches), tests=tuple(tests), closed=closed)


def _recorded(store: RoundStore, record: RoundRecord) -> RecordedRound:
    studies = store.studies()
    status = store.status()
    return RecordedRound(
        name=record.name,
        created_at=record.created_at,
        job=record.job,
        part_of=record.part_of,
        state=None if status is None else status.state,
        max_train_steps=record.budget.max_train_steps,
        facts=facts_of(studies, record.resources) if studies else {},
        is_candidate=all(study.num_points == 1 for study in studies),
        batch_sizes=tuple(
            sorted(
                {
                    value
                    for study in studies
                    for point in (study.fixed, study.arm, *study.arms, *study.configurations)
                    if isinstance(value := point.get("batch_size"), int)
                }
            )
        ),
    )


def _insight(store: RoundStore) -> Insight:
    reading, curves = read_all(store)
    return insight_of(reading, curves)


def _learned(insight: Insight) -> Learned:
    total, arm = insight.reading.summary.total, insight.reading.summary.best
    best = None
    if arm is not None and arm.best is not None:
        best = f"{insight.reading.objective.name} {number_text(arm.best.objective)} ({arm.best.text})"
    return Learned(insight.findings, insight.next_study, best, total.num_ended, total.planned)
