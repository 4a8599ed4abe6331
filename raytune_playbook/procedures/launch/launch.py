"""``raytune-playbook launch``: whether a round's best configuration replaces what is in use (rules AD3 to AD5)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from rich.console import Console

from raytune_playbook.analysis.trials import Trial, trials_of
from raytune_playbook.engine.jobs.job_file import Job
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.engine.session import Gangs
from raytune_playbook.errors import SpecError, StorageError
from raytune_playbook.procedures.command import job_path, part_of_round
from raytune_playbook.procedures.launch.baseline import Baseline, baseline_of, is_point_of
from raytune_playbook.procedures.launch.comparison import METHOD, NUM_LEAST, Comparison, Verdict, compare
from raytune_playbook.procedures.launch.configuration import round_of
from raytune_playbook.procedures.launch.examples import SamplingError, sampling_error
from raytune_playbook.procedures.launch.gains import Gain, gains_of, is_next
from raytune_playbook.procedures.launch.path import End, unmeasured, walk
from raytune_playbook.procedures.launch.words import Decision, completed
from raytune_playbook.procedures.procedure import Procedure, procedure
from raytune_playbook.procedures.test_set.looks import looks_of
from raytune_playbook.procedures.variance.points import best_point, done_for, retrained, trained_alone
from raytune_playbook.procedures.variance.retrainings import (
    Point,
    Retrainings,
    num_by_price,
    price_sentence,
    seconds_of,
)
from raytune_playbook.procedures.variance.variance import BOUND_TO
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.procedures import ProcedureRecord
from raytune_playbook.records.registry import (
    LaunchRecord,
    closed_workload,
    newest_launch,
    read_launches,
    write_launch,
)
from raytune_playbook.records.scores import now
from raytune_playbook.records.storage import Storage
from raytune_playbook.report.page.page import read_insight
from raytune_playbook.report.terminal import new_console
from raytune_playbook.study.round import Round


def launch(
    round: Round,
    *,
    complexity: str,
    against: Round | None = None,
    num_retrains: int | None = None,
    path_retrains: int | None = None,
    anyway: str | None = None,
    storage: str = DEFAULT_STORAGE,
    gangs: Gangs | None = None,
    address: str | None = None,
    job: Job | None = None,
    again: bool = False,
    console: Console | None = None,
) -> ProcedureRecord:
    """Decide whether a round's best configuration replaces the baseline, and if it does put it into the registry.

    Both are trained again with other seeds, as often as is missing, and their medians compared. If the candidate is
    adopted, the path from one to the other tells which of its changes earn their place.

    Args:
        round: that was run; its best trial is the candidate.
        complexity: what the change adds to the training pipeline, in words, or ``"none"``. One that adds some must win
            three of four pairs of single runs (rule AD4).
        against: the round whose best trial is the baseline; by default what was launched last of this workload, and
            before any launch what the round started from: its fixed values, and the workload's defaults of what it
            varied.
        num_retrains: of both; by default 20, or as many as one gang trains in an hour, at least 5.
        path_retrains: of each configuration on the path; by default half as many, at least 5; 0 for no path.
        anyway: why it is launched whatever the verdict.
        storage, gangs, address, job, console: as for `raytune_playbook.run`.
        again: do it where it was done before and nothing has changed.

    Returns:
        Its ``numbers``: ``verdict`` (adopt, do not adopt, not enough evidence), ``because``, ``launch`` (its number in
        the registry, None where it was not launched), ``candidate`` (STUDY/INDEX), ``baseline`` (in words),
        ``candidate_`` and ``baseline_`` with ``median``, ``std``, ``values``, ``num_retrains`` and ``num_infeasible``,
        ``gain``, ``probability`` (of improvement), ``method``, ``pairs_won``, ``num_needed``, ``sampling_error``,
        ``without_evidence`` (names of changes that are flagged), ``is_constant_rate`` and ``is_saturated``.

    Raises:
        InputError: the round was not run, there is nothing to compare it with, or the workload is closed.
        RunError: a training cannot be run.
    """
    place = Place(storage, console or new_console(), gangs, address, job)
    options = {
        "against": against.name if against else None,
        "complexity": complexity,
        "num_retrains": num_retrains,
        "path_retrains": path_retrains,
        "anyway": anyway,
    }
    part = part_of_round("launch", round, place, options)
    asked = _Asked(complexity, num_retrains, path_retrains, anyway, against.name if against else None)
    asked.refuse()
    candidate, _ = best_point(round, storage)
    _require_open(candidate, storage)
    newest = newest_launch(Storage(storage), candidate.round.studies[0].workload)
    is_launched = newest is not None and is_point_of(newest, candidate)
    if is_launched and not again and (record := done_for(part, round, place, {"launch": newest and newest.number})):
        return record
    baseline = baseline_of(candidate, against, storage)
    if not again and (record := done_for(part, round, place, {"candidate": candidate.text, "baseline": baseline.text})):
        return record
    with procedure(part, candidate.round, place) as p:
        decision = _decided(p, candidate, baseline, asked)
        return p.conclude(completed(p.draft("", bound_to=BOUND_TO), decision, storage))


def _decided(p: Procedure, candidate: Point, baseline: Baseline, asked: _Asked) -> Decision:
    trials = trials_of(p.store.trials())
    number = asked.num_retrains or num_by_price(trials)
    p.say(f"{candidate.text} of {candidate.round.name} against {baseline.text}.")
    p.say(price_sentence(2, number, seconds_of(trials)))
    points = _where(p, candidate, baseline), candidate
    ends = retrained(p, points[0], number), retrained(p, candidate, number)
    noise = sampling_error(p.store, points, ends)
    compared = _compared(ends, noise, asked.complexity)
    is_launched = compared.verdict is Verdict.ADOPT or bool(asked.anyway)
    on_path = max(NUM_LEAST, number // 2) if asked.path_retrains is None else asked.path_retrains
    configurations = baseline.configuration, candidate.configuration
    trained = End(points[0], ends[0]), End(candidate, ends[1])
    is_walked = is_launched and on_path > 0
    steps = walk(p, configurations, trained, on_path) if is_walked else unmeasured(p, configurations, trained)
    decision = Decision(
        candidate=candidate,
        baseline=baseline,
        ends=ends,
        comparison=compared,
        steps=steps,
        noise=noise,
        complexity=_added(asked.complexity),
        anyway=asked.anyway if compared.verdict is not Verdict.ADOPT else None,
        gains=tuple(_gains(p, baseline, compared, ends[1])),
        against=asked.against,
        job=None if p.place.job is None else job_path(p.place.job),
        has_changes=bool(read_insight(p.store).next_study.changes),
        was_read=bool(looks_of(p.store.storage, candidate.round.studies[0].workload)),
    )
    return replace(decision, launch=_registered(p, decision, trials)) if is_launched else decision


@dataclass(frozen=True)
class _Asked:
    """What `launch` was asked."""

    complexity: str
    num_retrains: int | None
    path_retrains: int | None
    anyway: str | None
    against: str | None

    def refuse(self) -> None:
        """Raises `SpecError` for what cannot be asked."""
        if not self.complexity.strip():
            raise SpecError(
                "complexity: what a change adds to the training pipeline is said in words (rule AD4), but got nothing; "
                "say it, or 'none'."
            )
        if self.anyway is not None and not self.anyway.strip():
            raise SpecError("anyway: a launch against the verdict needs a reason, but got none; give it in words.")
        for name, number in (("num_retrains", self.num_retrains), ("path_retrains", self.path_retrains)):
            if number is not None and number < NUM_LEAST and not (name == "path_retrains" and number == 0):
                or_none = "" if name == "num_retrains" else "0 for no path, "
                raise SpecError(
                    f"{name}: fewer than {NUM_LEAST} retrainings are not enough evidence, but got {number}; give "
                    f"{or_none}{NUM_LEAST} or more, or leave it out."
                )


def _require_open(candidate: Point, storage: str) -> None:
    closed = closed_workload(Storage(storage), candidate.round.studies[0].workload)
    if closed is not None:
        raise StorageError(
            f"A workload whose validation set was folded into training has no further launches (rule AD8), but "
            f"{closed.workload.name} was closed on {closed.closed_at[:10]} by {closed.round!r}; go on with other "
            "validation examples, as another workload."
        )


def _where(p: Procedure, candidate: Point, baseline: Baseline) -> Point:
    """The baseline's point, where it was trained, or is now."""
    if baseline.point is not None:
        return baseline.point
    goal = f"What {candidate.text} of {candidate.round.name} is compared with: {baseline.text}"
    return trained_alone(p, "baseline", round_of(candidate.round, baseline.configuration, goal))


def _compared(ends: tuple[Retrainings, Retrainings], noise: SamplingError | None, complexity: str) -> Comparison:
    found = compare(
        ends[1].losses,
        ends[0].losses,
        sampling_error=None if noise is None else noise.value,
        adds_complexity=bool(_added(complexity)),
    )
    if found is None:
        raise StorageError(
            f"Candidate and baseline must have been trained again, but all {ends[0].num_failed + ends[1].num_failed} "
            "retrainings crashed; see the page for their tracebacks, and mend the cause."
        )
    return found


def _added(complexity: str) -> str:
    """What a change adds; empty for none."""
    return "" if complexity.strip().lower() in ("none", "no", "nothing") else complexity.strip()


def _gains(p: Procedure, baseline: Baseline, compared: Comparison, retrainings: Retrainings) -> list[Gain]:
    """Of the launches of the workload, and of this candidate where it goes on from them."""
    record = p.store.round()
    before = read_launches(p.store.storage, record.workload)
    found = gains_of(before)
    if is_next(before, baseline.launch, record.created_at) and retrainings.deviation is not None:
        found += [Gain(compared.gain, retrainings.deviation)] if math.isfinite(compared.gain) else []
    return found


def _registered(p: Procedure, decision: Decision, trials: tuple[Trial, ...]) -> LaunchRecord:
    candidate, compared = decision.candidate, decision.comparison
    store, record = p.store, p.store.round()
    before = newest_launch(store.storage, record.workload)
    if before is not None and is_point_of(before, candidate):
        return before
    (first,) = (t for t in trials if (t.study, t.index, t.repeat) == (candidate.study, candidate.index, 0))
    has_diff = store.storage.read(f"{store.name}/uncommitted.diff") is not None
    return write_launch(
        store.storage,
        LaunchRecord(
            workload=record.workload,
            round=store.name,
            study=candidate.study,
            index=candidate.index,
            configuration=dict(candidate.configuration.values),
            max_train_steps=candidate.configuration.max_train_steps,
            evaluation_interval_steps=candidate.configuration.evaluation_interval_steps,
            objective=record.objective,
            stored_at=store.uri_of(f"{candidate.study}/study.json"),
            job=record.job,
            notes=store.notes(),
            num_trials=sum(study.num_trials for study in store.studies()),
            best=first.objective if first.objective is not None else math.nan,
            median=decision.ends[1].median,
            deviation=decision.ends[1].deviation,
            num_retrains=decision.ends[1].num,
            command=record.command,
            launch_command=p.part.command,
            commit=record.commit,
            uncommitted=record.uncommitted,
            uncommitted_diff=store.uri_of("uncommitted.diff") if has_diff else None,
            replaced=decision.baseline.text,
            replaced_launch=decision.baseline.launch,
            replaced_median=decision.ends[0].median,
            verdict=str(compared.verdict),
            probability=compared.probability,
            method=METHOD,
            gain=compared.gain if math.isfinite(compared.gain) else None,
            changes=tuple(step.record for step in decision.steps),
            complexity=decision.complexity,
            anyway=decision.anyway,
            launched_at=now(),
        ),
    )
