"""Other tools' trials as a round: a study for each combination of scientific values, or a joint one.

What no other tool records of a round (a workload, seeds, workers, a commit) holds placeholders, and the reading's
``origin`` says that nothing of it is known.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from raytune_playbook.analysis.series.curves import TrialCurves
from raytune_playbook.analysis.summary import summarize
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.records.types import ExamplesRecord, Role, RoundRecord, RoundState, RoundStatus
from raytune_playbook.report.foreign.judging import curves_of_trial, judged, warnings_of
from raytune_playbook.report.foreign.plan import Plan, points
from raytune_playbook.report.foreign.recorded import RecordedTrial
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.round import study_name
from raytune_playbook.study.settings import Budget, Resources
from raytune_playbook.study.study import StudySpec, WorkloadSpec
from raytune_playbook.study.trial import trial_key

DIVERGENCE_FACTOR = 2.0
"""A round's own default; training losses of single steps, to which it applies, are not recorded."""


def arranged(plan: Plan, command: str) -> tuple[RoundReading, Mapping[TrialId, TrialCurves]]:
    """The round that the trials make, and their curves.

    Args:
        plan: what it is.
        command: makes the page again; empty where Python did.
    """
    studies: list[StudySpec] = []
    trials: list[Trial] = []
    curves: dict[TrialId, TrialCurves] = {}
    for arm, recorded in plan.by_arm():
        name = "joint" if plan.is_joint else study_name(arm)
        of_points = points(recorded, plan.columns.varied, plan.judgement.metric)
        studies.append(_study(plan, name, arm, recorded, len({point for point, _ in of_points.values()})))
        for trial in recorded:
            index, repeat = of_points[trial.number]
            place = (name, trial_key(index, repeat))
            trials.append(judged(trial, plan.judgement, _values(plan, trial), place))
            if (found := curves_of_trial(trial, plan.judgement, place)) is not None:
                curves[place] = found
    trials.sort(key=lambda trial: (trial.study, trial.index, trial.repeat))
    record = _record(plan, studies, trials, command)
    summary = summarize(studies, trials, plan.judgement.objective)
    reading = RoundReading(
        record,
        _status(plan, trials),
        tuple(studies),
        tuple(trials),
        summary,
        origin=plan.recorded.origin,
        inferred=plan.inferred,
    )
    return reading, curves


def _values(plan: Plan, trial: RecordedTrial) -> dict[str, Value]:
    """Of all hyperparameters that the round knows; what was left out is none."""
    own = {name: trial.values.get(name) for name in (*plan.columns.varied, *plan.columns.seeds)}
    return {**plan.fixed, **own}


def _study(
    plan: Plan, name: str, arm: Mapping[str, Value], trials: Sequence[RecordedTrial], num_points: int
) -> StudySpec:
    there = {each for trial in trials for each, value in trial.values.items() if value is not None}
    space = {each: searched for each, searched in plan.space.items() if each in there}
    absent: dict[str, Value] = dict.fromkeys(plan.space.keys() - space.keys())
    return StudySpec(
        name=name,
        arm=dict(arm),
        arms=tuple(dict(each) for each in plan.arms) if plan.is_joint else (),
        space=space,
        fixed=plan.fixed | absent,
        search="random",
        seed=0,
        num_trials=num_points,
        objective=plan.judgement.objective,
        max_train_steps=plan.judgement.max_train_steps,
        evaluation_interval_steps=plan.judgement.interval_steps,
        divergence_factor=DIVERGENCE_FACTOR,
        workload=_workload(plan),
        num_workers=1,
        threads_per_worker=1,
    )


def _workload(plan: Plan) -> WorkloadSpec:
    return WorkloadSpec(module="", name=plan.recorded.name, settings={}, source_hash="")


def _record(plan: Plan, studies: Sequence[StudySpec], trials: Sequence[Trial], command: str) -> RoundRecord:
    roles: dict[str, Role] = {}
    given: dict[Role, Iterable[str]] = {
        "nuisance": plan.space,
        "scientific": plan.roles.scientific,
        "fixed": plan.fixed,
    }
    for role, names in given.items():
        roles |= dict.fromkeys(names, role)
    name = plan.roles.name or plan.recorded.name
    judgement = plan.judgement
    return RoundRecord(
        name=name,
        goal=plan.roles.goal or _goal(plan),
        roles=roles,
        reasons={},
        caveats=[f"{name} = {value}" for name, value in sorted(plan.fixed.items())],
        warnings=list(warnings_of(judgement, trials)),
        objective=judgement.objective,
        budget=Budget(
            num_trials=len(trials),
            max_train_steps=judgement.max_train_steps,
            evaluation_interval_steps=min(judgement.interval_steps, judgement.max_train_steps),
        ),
        resources=Resources(),
        seed=0,
        fingerprint="",
        workload=_workload(plan),
        studies=[study.name for study in studies],
        job=None,
        command=command,
        commit=None,
        uncommitted=False,
        versions={},
        created_at=min((trial.started_at for trial in plan.recorded.trials if trial.started_at), default=_now()),
        examples=_examples(plan),
    )


def _goal(plan: Plan) -> str:
    scientific = " and ".join(plan.roles.scientific)
    objective = plan.judgement.objective
    if scientific:
        return f"Which {scientific} has the best {objective.name}?"
    return f"Which values have the best {objective.name}?"


def _examples(plan: Plan) -> ExamplesRecord | None:
    """What the objective is measured on, as far as it was said: it tells the metric's resolution."""
    if plan.roles.validation_examples is None:
        return None
    split = plan.judgement.objective.split
    return ExamplesRecord(
        mode="materialized",
        sources={},
        num_examples={split: plan.roles.validation_examples},
        num_bytes={},
        overlaps=None,
    )


def _status(plan: Plan, trials: Sequence[Trial]) -> RoundStatus:
    ended = sum(trial.outcome is not None for trial in trials)
    unfinished = len(trials) - ended
    return RoundStatus(
        state=RoundState.STOPPED if unfinished else RoundState.FINISHED,
        reason=f"{unfinished:,} trial{' has' if unfinished == 1 else 's have'} not ended" if unfinished else "",
        driver=plan.recorded.origin,
        seen_at_s=time.time(),
        num_done=ended,
        num_trials=len(trials),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
