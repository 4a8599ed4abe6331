"""Trials judged by another objective than the round's own, from curves that were read (rule QR5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from raytune_playbook.analysis.judging.objective import Best, best_of
from raytune_playbook.analysis.series.curves import Evaluation, TrialCurves
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.settings import Objective


def curve_objective(curves: TrialCurves | None, objective: Objective) -> Best | None:
    """One trial's objective; None where its metric was never measured as a finite number."""
    curve = None if curves is None else curves.evaluations.get(Evaluation(objective.split, objective.metric))
    return None if curve is None else best_of(curve.steps.tolist(), curve.values.tolist(), objective)


def rejudged(trials: Iterable[Trial], curves: Mapping[TrialId, TrialCurves], objective: Objective) -> tuple[Trial, ...]:
    """The trials with their objective and best step by another objective than the study's own.

    Outcomes stay: a trial that diverged is infeasible whatever it is judged by. One that was stopped early has no best
    step by any objective: where it would have been in a whole training is not known (rules CK4 and IN14).
    """
    return tuple(_rejudged(trial, curves.get(trial.id), objective) for trial in trials)


def _rejudged(trial: Trial, curves: TrialCurves | None, objective: Objective) -> Trial:
    best = curve_objective(curves, objective) if trial.outcome == Outcome.COMPLETED else None
    best_step = None if best is None or trial.is_stopped_early else best.step
    return replace(trial, objective=best and best.value, best_step=best_step)
