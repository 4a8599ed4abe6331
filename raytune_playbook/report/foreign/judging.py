"""What other tools' trials are judged by, and what each is worth by it.

**Trials that were stopped early** (by a pruner, a scheduler or themselves, rule CK4) were trained for fewer steps than
the longest of the study. They count as completed, with what they had reached by then, and say so: their values are
evidence about where good points lie, mostly of bad ones. They have no best step, for where it would have been in a
whole training is not known (rule IN14).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.judging.objective import best_of
from raytune_playbook.analysis.series.curves import Evaluation, TrialCurves
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.analysis.wording import form_for
from raytune_playbook.errors import SpecError
from raytune_playbook.records.types import Attempt, Outcome, Training
from raytune_playbook.report.foreign.names import evaluations_of, is_of_test_set, usual_goal
from raytune_playbook.report.foreign.recorded import Recorded, RecordedTrial, State
from raytune_playbook.report.foreign.roles import Roles
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import index_and_repeat

_OUTCOMES = {
    State.ENDED: Outcome.COMPLETED,
    State.STOPPED_EARLY: Outcome.COMPLETED,
    State.INFEASIBLE: Outcome.INFEASIBLE,
    State.FAILED: Outcome.FAILED,
    State.UNFINISHED: None,
}


@dataclass(frozen=True)
class Judgement:
    """What trials are judged by.

    Fields:
        metric: by its own name.
        objective: the same in the terms of a round.
        evaluations: what each metric measures, by its own name.
        max_train_steps: of the longest trial; 1 where no steps were recorded.
        interval_steps: between two evaluations.
        notes: a sentence for whatever was inferred.
    """

    metric: str
    objective: Objective
    evaluations: Mapping[str, Evaluation]
    max_train_steps: int
    interval_steps: int
    notes: tuple[str, ...]

    @property
    def has_steps(self) -> bool:
        """Whether steps were recorded."""
        return self.max_train_steps > 1


def judgement_of(recorded: Recorded, roles: Roles) -> Judgement:
    """What the trials are judged by.

    Raises:
        SpecError: it was not said and cannot be told, or no trial reports it.
    """
    notes: list[str] = []
    metric = _metric(recorded, roles, notes)
    goal = roles.direction or (recorded.goal if metric == recorded.objective else None) or usual_goal(metric)
    if goal is None:
        raise SpecError(
            f"It must be known whether small or large values of {metric!r} are good, but its name does not tell; "
            "say --minimize or --maximize."
        )
    if roles.direction is None:
        said = "as was recorded" if recorded.goal and metric == recorded.objective else "as its name says"
        notes.append(f"{'Small' if goal == 'minimize' else 'Large'} values of {metric} are good, {said}.")
    evaluations = evaluations_of(recorded.metrics)
    split, name = evaluations[metric]
    recorded_over = recorded.over if metric == recorded.objective else None
    over = roles.over or recorded_over or "best"
    curves = [trial.curves[metric] for trial in recorded.trials if metric in trial.curves]
    if roles.over is None:
        notes.append(_over_note(metric, over, bool(curves), recorded_over is not None))
    if renamed := [f"{own} is {each.split} {each.metric}" for own, each in evaluations.items() if each.metric != own]:
        notes.append(f"By their names, {', '.join(renamed)}.")
    every = [curve for trial in recorded.trials for curve in trial.curves.values()]
    steps = max((int(curve.steps[-1]) for curve in every), default=1)
    gaps = [int(gap) for curve in every for gap in curve.steps[1:] - curve.steps[:-1]]
    objective = Objective(metric=name, split="train" if split == "train" else "validation", goal=goal, over=over)
    return Judgement(metric, objective, evaluations, max(1, steps), min(gaps, default=1), tuple(notes))


def _metric(recorded: Recorded, roles: Roles, notes: list[str]) -> str:
    known = recorded.metrics
    metric = roles.objective or recorded.objective
    if metric is None and len(known) == 1:
        (metric,) = known
        notes.append(f"Trials are judged by {metric}, the only metric.")
    if metric is None:
        raise SpecError(
            f"It must be known what trials are judged by, but those {recorded.origin} report "
            f"{', '.join(known) or 'nothing'}; name one with --objective."
        )
    if metric not in known:
        otherwise = "name one of them with --objective." if known else "there is nothing to judge them by."
        raise SpecError(
            f"The objective must be a metric that the trials report, but those {recorded.origin} report "
            f"{', '.join(known) or 'nothing'} and no {metric!r}; {did_you_mean(metric, known, otherwise)}"
        )
    return metric


def _over_note(metric: str, over: str, has_curves: bool, is_recorded: bool) -> str:
    if not has_curves:
        return f"Of each trial one {metric} was recorded: whether the best or the last over training is not known."
    if is_recorded:
        return f"Trials are judged by the {over} {metric} over training, as they were when they ran."
    return f"Trials are judged by the {over} {metric} over training."


def warnings_of(judgement: Judgement, trials: Sequence[Trial]) -> tuple[str, ...]:
    """What the trials were chosen by that the playbook advises against."""
    found = []
    if is_of_test_set(judgement.metric):
        found.append(
            f"AD6: Trials are judged by {judgement.metric}, which is called like a metric of the test set; what is "
            "chosen by the test set is flattered by it."
        )
    if early := [trial for trial in trials if trial.is_stopped_early]:
        found.append(
            f"CK4: {len(early):,} of {len(trials):,} trials {form_for(len(early), 'was', 'were')} stopped early: "
            f"judged by what {form_for(len(early), 'it', 'they')} had reached by then. What more training would have "
            "brought is not known, and neither is the best step."
        )
    return tuple(found)


def judged(recorded: RecordedTrial, judgement: Judgement, values: Mapping[str, Value], place: TrialId) -> Trial:
    """A trial with what it is worth.

    Args:
        recorded: as its tool has it.
        judgement: says by what.
        values: of all its hyperparameters.
        place: its study and key.
    """
    study, key = place
    trial = Trial(
        study,
        *index_and_repeat(key),
        values,
        outcome=_OUTCOMES[recorded.state],
        reason=recorded.reason,
        training=_training(recorded),
        attempts=(Attempt(1, recorded.name, recorded.started_at, str(recorded.state), recorded.traceback),),
    )
    return _with_objective(trial, recorded, judgement) if trial.outcome is Outcome.COMPLETED else trial


def _with_objective(trial: Trial, recorded: RecordedTrial, judgement: Judgement) -> Trial:
    metric, objective = judgement.metric, judgement.objective
    curve = recorded.curves.get(metric)
    last = recorded.metrics.get(metric, None if curve is None else float(curve.values[-1]))
    if last is None:
        return _ended(trial, Outcome.FAILED, f"no {metric} was recorded")
    if not math.isfinite(last):
        kind = "NaN" if math.isnan(last) else "infinity"
        return _ended(trial, Outcome.INFEASIBLE, f"{kind}: {metric} {'ended' if curve is not None else 'was'} so")
    best = None if curve is None else best_of(curve.steps.tolist(), curve.values.tolist(), objective)
    num_steps = last_step(recorded)
    early = None
    if recorded.state is State.STOPPED_EARLY or (num_steps is not None and num_steps < judgement.max_train_steps):
        of = f" at step {num_steps:,} of {judgement.max_train_steps:,}" if num_steps is not None else ""
        early = f"stopped early{of}"
    return Trial(
        **vars(trial)
        | {
            "objective": last if best is None else best.value,
            "best_step": best.step if best is not None and early is None and judgement.has_steps else None,
            "reason": early,
        }
    )


def _ended(trial: Trial, outcome: Outcome, reason: str) -> Trial:
    return Trial(**vars(trial) | {"outcome": outcome, "reason": reason})


def _training(recorded: RecordedTrial) -> Training | None:
    num_steps = last_step(recorded)
    if recorded.state in (State.FAILED, State.UNFINISHED) or num_steps is None:
        return None
    return Training(num_steps=num_steps, num_parameters=None, train_s=recorded.train_s or 0.0)


def last_step(recorded: RecordedTrial) -> int | None:
    """The last step at which anything was measured; None where no steps were recorded."""
    return max((int(curve.steps[-1]) for curve in recorded.curves.values()), default=None)


def curves_of_trial(recorded: RecordedTrial, judgement: Judgement, trial: TrialId) -> TrialCurves | None:
    """A trial's metrics against step; None where they were not recorded.

    A single point is no curve: where trials were measured once, nothing is known of their training.
    """
    if not recorded.curves or not judgement.has_steps:
        return None
    return TrialCurves(trial, {judgement.evaluations[name]: curve for name, curve in recorded.curves.items()}, {})
