"""The plots of a stability study: the playbook's Figures 4 to 9, of this workload."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from raytune_playbook.analysis.series.curves import Curve, Evaluation
from raytune_playbook.analysis.wording import count_text, number_text
from raytune_playbook.procedures.stability.judging import Judged, largest_stable
from raytune_playbook.procedures.stability.mends import Mend
from raytune_playbook.procedures.stability.remedies import remedy_text
from raytune_playbook.procedures.stability.study import Study
from raytune_playbook.records.columns import GRADIENT_NORM, LOSS
from raytune_playbook.records.procedures import ShownLine, ShownPlot, ShownSeries

CUT = 10.0
"""Losses are drawn up to so many times the one at the start: one that blows up would hide all others."""

NUM_BARS = 30

LOSS_CUT = f"training loss, cut at {CUT:g} times its start"


def plots_of(study: Study) -> Iterator[ShownPlot]:
    """Those that there is something to draw of."""
    yield _above_the_best(study)
    if study.check:
        yield _first_steps(study)
    if study.norms is not None:
        yield from _norms(study)
    if study.warmups:
        yield _warmups(study)
    clipped = next((mend for mend in study.mends if mend.name == "clipping_norm"), None)
    if clipped is not None:
        yield _clipped(study, clipped)
    yield _ranges(study)


def _above_the_best(study: Study) -> ShownPlot:
    """Figures 4 and 7b: loss curves at the best learning rate and above."""
    above = [one for one in study.sweep if one.learning_rate >= study.best_rate]
    return ShownPlot(
        title="Loss at and above the best learning rate",
        label=f"Training loss against step at {len(above)} learning rates from {study.best_rate:g} up. {study.found}",
        x_name="training step",
        y_name=LOSS_CUT,
        y_scale="log",
        series=tuple(_loss(f"{one.learning_rate:g}{_state(one)}", one) for one in above),
    )


def _first_steps(study: Study) -> ShownPlot:
    """Figure 5: what evaluating at every step shows of the start, and what rarer evaluations show."""
    one = study.check[0]
    start = _start(one)
    every = None if one.curves is None else one.curves.evaluations.get(Evaluation("train", LOSS))
    series = []
    if every is not None:
        series.append(_series("evaluated at every step", every, start))
        interval = study.baseline.round.budget.evaluation_interval_steps
        rare = every.steps % interval == 0
        apart = Curve(every.steps[rare], every.values[rare])
        series.append(_series(f"every {count_text(interval)} steps, as in the round", apart, start, style="points"))
    else:
        series.append(_loss("at every step", one))
    return ShownPlot(
        title=f"The first steps at {one.learning_rate:g}, twice the best learning rate",
        label="Loss of training examples at every step, and as evaluations that are further apart show it.",
        x_name="training step",
        y_name=LOSS_CUT,
        y_scale="log",
        series=tuple(series),
    )


def _norms(study: Study) -> Iterator[ShownPlot]:
    """Gradient norms against step, and their histogram over all steps (rule UN2)."""
    norms, percentile = study.best.steps[GRADIENT_NORM], _percentile(study)
    line = f"90th percentile, {number_text(percentile, 3)}"
    series = [_norm_series("the round's best trial", norms)]
    unstable = study.unstable
    if unstable is not None and unstable.curves is not None and GRADIENT_NORM in unstable.curves.steps:
        curve = unstable.curves.steps[GRADIENT_NORM]
        series.append(_norm_series(f"at {unstable.learning_rate:g}, unstable", curve))
    yield ShownPlot(
        title="Gradient norms",
        label=f"L2 norm of the full gradient, unclipped, against step. {line}.",
        x_name="training step",
        y_name="gradient norm, before clipping",
        y_scale="log",
        series=tuple(series),
        lines=(ShownLine(text=line, y=percentile),),
    )
    digest = study.norms
    if digest is not None:
        yield _histogram(digest.quantiles, digest.num_steps - digest.num_not_finite, percentile, line)


def _histogram(quantiles: np.ndarray, num_steps: int, percentile: float, line: str) -> ShownPlot:
    low, high = float(quantiles[0]), float(quantiles[-1])
    edges = np.linspace(low, high if high > low else low + 1, NUM_BARS + 1)
    below = np.interp(edges, quantiles, np.linspace(0, 1, len(quantiles)))
    return ShownPlot(
        title="Histogram of gradient norms",
        label=f"How many of {count_text(num_steps)} steps of the round's best trial have which gradient norm. {line}.",
        x_name="gradient norm, before clipping",
        y_name="steps",
        series=(
            ShownSeries(
                name="the round's best trial",
                x=tuple((edges[:-1] + edges[1:]) / 2),
                y=tuple(np.diff(below) * num_steps),
                style="bars",
            ),
        ),
        lines=(ShownLine(text=line, x=percentile),),
    )


def _warmups(study: Study) -> ShownPlot:
    """Figures 6 and 8: the largest base learning rate that a warmup makes stable, with each warmup and without."""
    stable = [one.learning_rate for each in study.warmups.values() for one in each if one.is_stable]
    shown = max(stable, default=study.unstable_rate or study.best_rate)
    series = []
    for steps, each in study.warmups.items():
        one = next((one for one in each if one.learning_rate == shown), None)
        if one is not None:
            series.append(_loss(f"warmup of {count_text(steps)}{_state(one)}", one))
    without = next((one for one in study.sweep if one.learning_rate == shown), None)
    if without is not None:
        until = max((series_.x[-1] for series_ in series if series_.x), default=math.inf)
        series.insert(0, _loss(f"no warmup{_state(without)}", without, until=until, is_reference=True))
    return ShownPlot(
        title=f"Warmup to {shown:g}",
        label=f"Training loss against step at a base learning rate of {shown:g}, with warmups of several lengths.",
        x_name="training step",
        y_name=LOSS_CUT,
        y_scale="log",
        series=tuple(series),
    )


def _clipped(study: Study, mend: Mend) -> ShownPlot:
    """Figure 9: the smallest unstable learning rate, without clipping and with it."""
    rate = study.unstable_rate
    series = []
    for name, sweep in ((f"clipping at {number_text(mend.value, 3)}", mend.sweep), ("no clipping", study.sweep)):
        one = next((one for one in sweep if one.learning_rate == rate), None)
        if one is not None:
            series.append(_loss(f"{name}{_state(one)}", one, is_reference=sweep is study.sweep))
    return ShownPlot(
        title=f"Clipping at learning rate {number_text(rate)}",
        label=f"Training loss against step at {number_text(rate)}, where training without clipping is unstable.",
        x_name="training step",
        y_name=LOSS_CUT,
        y_scale="log",
        series=tuple(series),
    )


def _ranges(study: Study) -> ShownPlot:
    """Figure 7a, before and after: the objective against the learning rate, as far as training is stable."""
    sweeps = [("without remedy", study.sweep), *((remedy_text(mend), mend.sweep) for mend in study.mends)]
    lines = []
    for name, sweep in sweeps:
        largest = largest_stable(sweep)
        if largest is not None:
            lines.append(ShownLine(text=f"stable up to here: {name}", x=largest))
    return ShownPlot(
        title="The stable range",
        label=f"{study.objective.name} against the learning rate; trainings that did not come to an end are missing.",
        x_name="learning rate",
        y_name=study.objective.name,
        x_scale="log",
        series=tuple(
            ShownSeries(
                name=name,
                x=tuple(one.learning_rate for one in sweep),
                y=tuple(one.objective for one in sweep),
            )
            for name, sweep in sweeps
        ),
        lines=tuple(lines),
    )


# ---------------------------------------------------------------------- series


def _state(one: Judged) -> str:
    return "" if one.instability is None else f" (unstable, {one.instability.value})"


def _loss(name: str, one: Judged, *, until: float = math.inf, is_reference: bool = False) -> ShownSeries:
    """The loss of single steps, spikes kept."""
    curve = None if one.curves is None else one.curves.steps.get(LOSS)
    if curve is None:
        return ShownSeries(name=name, x=(), y=(), style="line", is_reference=is_reference)
    kept = curve.steps <= until
    return _series(name, Curve(curve.steps[kept], curve.values[kept]), _start(one), is_reference=is_reference)


def _series(name: str, curve: Curve, start: float, *, style: str = "line", is_reference: bool = False) -> ShownSeries:
    cut = CUT * start
    values = np.where(np.isfinite(curve.values), np.minimum(curve.values, cut), cut)
    return ShownSeries(
        name=name,
        x=tuple(map(float, curve.steps)),
        y=tuple(map(float, values)),
        style="points" if style == "points" else "line",
        is_reference=is_reference,
    )


def _norm_series(name: str, curve: Curve) -> ShownSeries:
    """Gradient norms; what is no number, or beyond what one plot can show, is left out."""
    kept: Sequence[float | None] = [
        float(value) if math.isfinite(value) and 0 < value < 1e12 else None for value in curve.values
    ]
    return ShownSeries(name=name, x=tuple(map(float, curve.steps)), y=tuple(kept), style="line")


def _start(one: Judged) -> float:
    """The training loss at the first step."""
    curve = None if one.curves is None else one.curves.steps.get(LOSS)
    first = math.inf if curve is None or not len(curve.values) else float(curve.values[0])
    return first if math.isfinite(first) and first > 0 else math.inf


def _percentile(study: Study) -> float:
    return math.nan if study.norms is None else float(study.norms.quantiles[90])
