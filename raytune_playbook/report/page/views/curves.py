"""The plots of training curves: one for each metric, the objective's first (rules IN5 and UN2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.judging.best import best_of_each_study
from raytune_playbook.analysis.series.curves import Curve, TrialCurves, thinned
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.figures.plot import Plot, PlotSection
from raytune_playbook.report.figures.style import Looks
from raytune_playbook.report.figures.training_curves import TrialLines, curves_figure

BEST_PER_STUDY = 3
"""Trials of each study whose curves are shown at first."""

MAX_POINTS, MAX_POINTS_OF_OTHERS = 400, 120
"""Of a line: of the trials that are shown at first, and of the others."""

MAX_METRICS = 8

_STEP_METRICS = {
    "loss": "Loss of single training steps",
    "gradient_norm": "Gradient norm of single training steps, unclipped",
}


def curve_plots(evidence: Evidence, shown: Sequence[Trial], looks: Looks) -> tuple[PlotSection, ...]:
    """The section of training curves.

    Args:
        evidence: the round.
        shown: the trials whose curves are drawn.
        looks: of the studies.
    """
    ranks = _ranks(evidence, shown)
    drawn = [(trial, evidence.curves[trial.id]) for trial in shown]
    # The best is drawn last, on top of the others.
    drawn.sort(key=lambda pair: ranks.get(pair[0].id, len(ranks)), reverse=True)
    plots = [*_evaluations(evidence, drawn, ranks, looks), *_steps(drawn, ranks, looks)]
    note = (
        "Solid: validation. Dashed: training. The thick line is the best trial of its study, the dot its best step. "
        "Long curves are thinned; their spikes stay. Single steps are smoothed at first; what was measured is faint."
    )
    return (PlotSection("curves", "Training curves", note, tuple(plots)),)


def _evaluations(
    evidence: Evidence,
    drawn: Sequence[tuple[Trial, TrialCurves]],
    ranks: Mapping[TrialId, int],
    looks: Looks,
) -> list[Plot]:
    objective = evidence.objective
    found = dict.fromkeys(metric for _, curves in drawn for _, metric in curves.evaluations)
    ordered = sorted(found, key=lambda metric: (metric != objective.metric, metric))[:MAX_METRICS]
    return [
        Plot(
            f"curves-{place}",
            metric.replace("_", " ").capitalize(),
            f"The {metric} of training and validation against the training step.",
            curves_figure(
                [_lines(trial, _of_metric(curves, metric), ranks) for trial, curves in drawn],
                y_title=metric.replace("_", " "),
                looks=looks,
                marked=_best_steps(drawn) if metric == objective.metric else None,
            ),
            of=metric,
        )
        for place, metric in enumerate(ordered)
    ]


def _steps(drawn: Sequence[tuple[Trial, TrialCurves]], ranks: Mapping[TrialId, int], looks: Looks) -> list[Plot]:
    plots = []
    for metric, title in _STEP_METRICS.items():
        lines = [
            _lines(trial, {"step": curves.steps[metric]}, ranks) for trial, curves in drawn if metric in curves.steps
        ]
        if lines:
            name = f"steps-{metric.replace('_', '-')}"
            label = f"{title}, against the training step."
            y_title, smoothing = metric.replace("_", " "), _smoothing(lines)
            figure = curves_figure(lines, y_title=y_title, looks=looks, smoothing=smoothing)
            plots.append(Plot(name, title, label, figure))
    return plots


def _smoothing(lines: Sequence[TrialLines]) -> float:
    """Of single steps the noise is what one sees first: a fortieth of a curve is averaged, about."""
    longest = max(len(curve.steps) for line in lines for curve in line.curves.values())
    return round(min(0.95, max(0.0, 1 - 40 / longest)), 3)


def _ranks(evidence: Evidence, shown: Sequence[Trial]) -> dict[TrialId, int]:
    """The place of each study's best trials within it, from 0; those that are shown at first."""
    chosen = best_of_each_study(evidence.trials, evidence.objective, BEST_PER_STUDY).values()
    ranks = {trial.id: rank for best in chosen for rank, trial in enumerate(best)}
    return ranks or {trial.id: 1 for trial in shown}  # nothing completed yet: show what there is


def _lines(trial: Trial, curves: Mapping[str, Curve], ranks: Mapping[TrialId, int]) -> TrialLines:
    rank = ranks.get(trial.id)
    most = MAX_POINTS if rank is not None else MAX_POINTS_OF_OTHERS
    return TrialLines(trial, {split: thinned(curve, most) for split, curve in curves.items()}, rank)


def _of_metric(curves: TrialCurves, metric: str) -> dict[str, Curve]:
    return {split: curve for (split, name), curve in curves.evaluations.items() if name == metric}


def _best_steps(drawn: Sequence[tuple[Trial, TrialCurves]]) -> dict[TrialId, tuple[int, float]]:
    """The best step of each trial that has one, and the objective there."""
    return {
        trial.id: (trial.best_step, trial.objective)
        for trial, _ in drawn
        if trial.best_step is not None and trial.objective is not None
    }
