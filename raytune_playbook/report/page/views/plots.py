"""The page's plots: which there are, and what is said of them; `raytune_playbook.report.figures` draws them.

A new plot is a function there and an entry in a section here, which `templates/plots.html.j2` gives a place.
"""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.analysis.evidence import Evidence
from raytune_playbook.analysis.judging.best import best_of_each_study, worth_showing
from raytune_playbook.analysis.plots.axis import axes
from raytune_playbook.analysis.plots.best_steps import best_steps
from raytune_playbook.analysis.plots.importance import importances
from raytune_playbook.analysis.plots.isolation import isolations
from raytune_playbook.analysis.plots.tuning_curve import tuning_curves
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures.best_steps import best_steps_figure
from raytune_playbook.report.figures.gradient_norms import gradient_norms_figure
from raytune_playbook.report.figures.hyperparameter_axis import axis_figure
from raytune_playbook.report.figures.importance import CHANCE_LEVEL, importance_figure
from raytune_playbook.report.figures.isolation import isolation_figure
from raytune_playbook.report.figures.parallel_coordinates import MOST_LINES, parallel_figure
from raytune_playbook.report.figures.plot import Plot, PlotSection
from raytune_playbook.report.figures.progress import best_so_far_figure, tuning_curve_figure
from raytune_playbook.report.figures.style import Looks
from raytune_playbook.report.formatting import arm_values_text
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.page.views.answer import arm_names
from raytune_playbook.report.page.views.curves import BEST_PER_STUDY, curve_plots

MAX_TRIALS_WITH_CURVES = 200
"""More trials than this show the curves of the best ones, and of those that findings point to: the page stays small."""

MAX_TUNING_CURVES = 12
"""Studies with a best-of-N plot of their own."""


@dataclass(frozen=True)
class LegendEntry:
    """A study and its scientific values, without their names: a click hides or shows it in all plots and the table."""

    study: str
    arm: str


@dataclass(frozen=True)
class PlotsView:
    """All plots.

    Fields:
        legend: empty for a single study.
        scientific: the names of the values in the legend; empty where studies differ in other ways.
        sections: in their order; those without a plot are left out.
        num_best: trials of each study whose curves are shown at first; None where none was completed, and all are.
        num_with_curves: trials whose curves the page holds.
        num_trials: of the round.
    """

    legend: tuple[LegendEntry, ...]
    scientific: tuple[str, ...]
    sections: tuple[PlotSection, ...]
    num_best: int | None
    num_with_curves: int
    num_trials: int

    @property
    def all(self) -> tuple[Plot, ...]:
        """Every plot of the page."""
        return tuple(plot for section in self.sections for plot in section.plots)


def plots_view(insight: Insight, looks: Looks) -> PlotsView:
    """Draw a round's plots.

    Args:
        insight: the round.
        looks: of its studies.
    """
    evidence = insight.evidence
    shown = _with_curves(insight)
    sections = (
        _isolation(evidence, looks),
        _axes(evidence, looks),
        *curve_plots(evidence, shown, looks),
        _gradient_norms(evidence, looks),
        _progress(evidence, looks),
        _best_steps(evidence, looks),
        _parallel(evidence),
        _importance(evidence, looks),
    )
    studies = evidence.studies
    return PlotsView(
        legend=tuple(LegendEntry(study.name, arm_values_text(study.arm, study.name)) for study in studies)
        if len(studies) > 1
        else (),
        scientific=tuple(studies[0].arm) if len({tuple(study.arm) for study in studies}) == 1 else (),
        sections=tuple(section for section in sections if section.plots),
        num_best=BEST_PER_STUDY if evidence.ranked else None,
        num_with_curves=len(shown),
        num_trials=len(evidence.trials),
    )


def _with_curves(insight: Insight) -> list[Trial]:
    """The trials whose curves are on the page: of many the best, and before them those that findings point to."""
    evidence = insight.evidence
    having = [trial for trial in evidence.trials if trial.id in evidence.curves]
    named = {name for finding in insight.findings if finding.is_open for name in finding.trials[:10]}
    chosen = [trial for trial in having if trial.id in named][: MAX_TRIALS_WITH_CURVES // 2]
    best = worth_showing(having, evidence.objective, MAX_TRIALS_WITH_CURVES)
    wanted = [*best[: MAX_TRIALS_WITH_CURVES - len(chosen)], *chosen, *best]
    return list({trial.id: trial for trial in wanted}.values())[:MAX_TRIALS_WITH_CURVES]


def _isolation(evidence: Evidence, looks: Looks) -> PlotSection:
    found = isolations(evidence)
    plots = [
        Plot(
            f"isolation-{place}",
            "",
            f"The best {evidence.objective.name} of each value of {isolation.name}, with the other trials behind it.",
            isolation_figure(isolation, evidence.ranked, evidence.objective, looks),
            of=isolation.name,
            follows=True,
        )
        for place, isolation in enumerate(found)
        if any(point.best is not None for point in isolation.points)
    ]
    note = (
        "For each scientific value its best trial, the nuisance hyperparameters optimized away, and faint all its "
        "other trials."
    )
    if any(point.interval is not None for isolation in found for point in isolation.points):
        note += (
            " The bar is where the best of as many trials would lie in 8 of 10 searches: bars that overlap much are no "
            "difference."
        )
    return PlotSection("isolation", "Isolation plots", note, tuple(plots))


def _axes(evidence: Evidence, looks: Looks) -> PlotSection:
    best = [trials[0] for trials in best_of_each_study(evidence.trials, evidence.objective).values()]
    plots = [
        Plot(
            f"axis-{place}",
            "",
            f"{evidence.objective.name} against {axis.name}, one mark for each trial.",
            axis_figure(axis, evidence.objective, looks, best),
            of=axis.name,
            follows=True,
        )
        for place, axis in enumerate(axes(evidence.studies, evidence.trials))
        if axis.completed or axis.infeasible or axis.failed
    ]
    note = (
        "One mark for each trial; the ring is the best of its study. Where studies share a value, each stands a little "
        "beside the others. Crosses at the top are infeasible trials, which have no value. The best ones should "
        "lie well inside the dotted edges of each range."
    )
    return PlotSection("axes", "Hyperparameter axis plots", note, tuple(plots))


def _gradient_norms(evidence: Evidence, looks: Looks) -> PlotSection:
    digests = [
        (trials[0], digest)
        for trials in best_of_each_study(evidence.trials, evidence.objective).values()
        if (curves := evidence.curves.get(trials[0].id)) and (digest := curves.digests.get("gradient_norm"))
    ]
    figure = gradient_norms_figure(digests, looks)
    label = "Share of steps against the gradient's norm, with its 90th percentile, of each study's best trial."
    note = (
        "Of all steps of each study's best trial; the dotted upright is its 90th percentile, at which clipping would "
        "begin. A long tail to the right is a sign of instability."
    )
    plots = (Plot("gradient-norms", "", label, figure),) if figure.data else ()
    return PlotSection("gradients", "Gradient norms", note, plots)


def _progress(evidence: Evidence, looks: Looks) -> PlotSection:
    objective, names = evidence.objective, arm_names(evidence.arms)
    plots = []
    figure = best_so_far_figure(evidence.arms, objective, looks)
    if figure.data:
        label = f"The best {objective.name} of each study after so many trials."
        plots.append(Plot("best-so-far", "Best so far", label, figure, follows=True))
    for place, curve in enumerate(tuning_curves(evidence)[:MAX_TUNING_CURVES]):
        title = f"Best of N trials: {names.get(curve.study, curve.study)}" if len(evidence.studies) > 1 else "Best of N"
        label = f"The median and quartiles of the best {objective.name} of N trials of {curve.study}."
        figure = tuning_curve_figure(curve, objective, looks[curve.study])
        plots.append(Plot(f"best-of-n-{place}", title, label, figure, of=curve.study))
    note = (
        "Would more trials help? A best-of-N curve that still improves steeply at its end says yes. The line is the "
        "median of the best of N trials, the area its quartiles, dotted the band in which the true median lies, also "
        "beyond the plot's edge; grey where there are too few trials to tell."
    )
    return PlotSection("progress", "Enough trials?", note, tuple(plots))


def _best_steps(evidence: Evidence, looks: Looks) -> PlotSection:
    shares: dict[str, list[tuple[Trial, float]]] = {}
    for arm in best_steps(evidence):
        shares.setdefault(arm.study, []).extend(zip(arm.trials, arm.shares, strict=True))
    ordered = {study: found for study, found in shares.items() if found}
    figure = best_steps_figure(ordered, arm_names(evidence.arms), looks)
    note = (
        "Where in training each completed trial was best. All in the first tenth: training is too long. Many in the "
        "last quarter: train longer."
    )
    label = "The best step of each trial as a share of training, one row for each study."
    plots = (Plot("best-steps", "", label, figure),) if ordered else ()
    return PlotSection("best-steps-section", "Best steps", note, plots)


def _parallel(evidence: Evidence) -> PlotSection:
    drawn = [axis for axis in axes(evidence.studies, evidence.trials) if axis.completed]
    figure = parallel_figure(drawn, evidence.ranked, evidence.objective)
    note = (
        "Each line is a trial: the best tenth strong, the best quarter lighter, the rest grey"
        + (f"; the best {MOST_LINES:,} are drawn" if len(evidence.ranked) > MOST_LINES else "")
        + ". Where the strong lines meet on an axis, good values of that hyperparameter lie close together."
    )
    label = "All hyperparameters and the objective of every completed trial, as lines across upright axes."
    plots = (Plot("parallel", "", label, figure, is_wide=True),) if drawn and len(evidence.ranked) > 1 else ()
    return PlotSection("parallel-section", "Parallel coordinates", note, plots)


def _importance(evidence: Evidence, looks: Looks) -> PlotSection:
    found = importances(evidence)
    note = (
        "How much of the objective's variance among a study's trials each hyperparameter explains by itself, and pairs "
        "of them beyond that. What explains little can be fixed next; what interacts has to be tuned together."
    )
    chance = [
        f"in {each.p_value:.0%} of cases" + (f" for {each.study}" if len(evidence.studies) > 1 else "")
        for each in found
        if each.p_value > CHANCE_LEVEL
    ]
    if chance:
        note += f" Rely on no faint bar: chance alone would explain as much {', '.join(chance)}."
    label = "Bars: how much of the objective's variance each hyperparameter explains."
    plots = (Plot("importance", "", label, importance_figure(found, looks)),) if found else ()
    return PlotSection("importance-section", "What matters", note, plots)
