"""The tables and plots of a choice of the batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from raytune_playbook.analysis.wording import bytes_text, duration_text
from raytune_playbook.procedures.batch_size.measured import ToTarget
from raytune_playbook.procedures.batch_size.scaling import Cost
from raytune_playbook.procedures.batch_size.sizes import BATCH_SIZE
from raytune_playbook.procedures.batch_size.throughput import PARTS, Scaling
from raytune_playbook.records.procedures import Cell, ShownLine, ShownPlot, ShownSeries, ShownTable
from raytune_playbook.study.round import Round
from raytune_playbook.study.settings import Objective

SIZE = "batch size"


def sizes_table(scaling: Scaling, marked: Sequence[int]) -> ShownTable:
    """The sizes that fit with their times (rules BA2, BA3).

    Args:
        marked: the sizes that are recommended.
    """
    rows: list[tuple[Cell, ...]] = []
    for each, factor in zip(scaling.sizes, scaling.factors, strict=True):
        rows.append(
            (
                each.size,
                duration_text(each.step_s),
                _digits(each.examples_per_s),
                f"±{(each.fastest_per_s - each.slowest_per_s) / 2 / each.examples_per_s:.0%}",
                None if factor is None else round(factor, 2),
                *(f"{each.share(part):.0%}" for part in PARTS),
                bytes_text(each.peak_memory_bytes),
            )
        )
    return ShownTable(
        title=(
            "Batch sizes that fit, how fast they are trained (with the spread over intervals, and the growth of the "
            "throughput from size to size), where the time goes, and what memory a worker takes"
        ),
        columns=(
            *(SIZE, "time per step", "examples/s", "spread", "growth"),
            *("input", "sync", "compute", "memory"),
        ),
        rows=tuple(rows),
        leading=_leading([each.size for each in scaling.sizes], marked),
    )


def budgets_table(scaling: Scaling, round_: Round, amount: float, unit: str) -> ShownTable:
    """What a step budget and an epoch budget cost at each size, where the steps it needs are not known (rule BA5)."""
    steps, batch = round_.budget.max_train_steps, round_.fixed_values.get(BATCH_SIZE)
    now = batch if isinstance(batch, int) else scaling.sizes[0].size
    rows: list[tuple[Cell, ...]] = []
    for each in scaling.sizes:
        epoch_steps = math.ceil(steps * now / each.size)
        rows.append(
            (each.size, *_cost(each.step_s * steps, amount), epoch_steps, *_cost(each.step_s * epoch_steps, amount))
        )
    return ShownTable(
        title=(
            f"What a training would cost: with {steps:,} steps at any size (a step budget), and with the "
            f"{steps * now:,} examples of {steps:,} steps at {now:,} (an epoch budget)"
        ),
        columns=(
            SIZE,
            f"time of {steps:,} steps",
            f"{unit}-seconds",
            "steps of an epoch budget",
            "time",
            f"{unit}-seconds ",
        ),
        rows=tuple(rows),
    )


def steps_table(
    to_target: ToTarget, costs: Sequence[Cost], objective: Objective, unit: str, least: Cost | None
) -> ShownTable:
    """The steps to the target, and what they cost (rules BA5, BA6).

    Args:
        unit: of resources.
        least: which costs least.
    """
    scaling, by_size = to_target.scaling, {cost.size: cost for cost in costs}
    rows: list[tuple[Cell, ...]] = []
    for each in scaling.steps:
        cost, perfect = by_size.get(each.size), scaling.perfect_steps(each.size)
        rows.append(
            (
                each.size,
                each.fewest,
                None if each.fewest is None else f"{_steps(each.low)} to {_steps(each.high)}",
                f"{each.num_reached} of {each.num_trials}",
                None if perfect is None else math.ceil(perfect),
                None if each.fewest is None else each.fewest * each.size,
                duration_text(cost.seconds if cost else None),
                None if cost is None else float(f"{cost.resources:.3g}"),
                str(scaling.regimes[each.size]),
            )
        )
    return ShownTable(
        title=(
            f"Steps to a {objective.name} of {to_target.target:g} (the fewest of a size's trials, with their spread in "
            "9 of 10 bootstraps), beside perfect scaling"
        ),
        columns=(SIZE, "steps", "spread", "trials", "perfect", "examples", "time", f"{unit}-seconds", "scaling"),
        rows=tuple(rows),
        leading=_leading([each.size for each in scaling.steps], () if least is None else (least.size,)),
    )


def throughput_plot(scaling: Scaling, least_time: int) -> ShownPlot:
    """Throughput against batch size, and what doubling would be."""
    sizes = tuple(float(each.size) for each in scaling.sizes)
    first = scaling.sizes[0]
    return ShownPlot(
        title="Throughput",
        label=f"Examples per second against batch size; the throughput stops growing at {scaling.stops_at}.",
        x_name=SIZE,
        y_name="examples per second",
        x_scale="log",
        y_scale="log",
        series=(
            ShownSeries(
                name="measured",
                x=sizes,
                y=tuple(each.examples_per_s for each in scaling.sizes),
                low=tuple(each.slowest_per_s for each in scaling.sizes),
                high=tuple(each.fastest_per_s for each in scaling.sizes),
            ),
            ShownSeries(
                name="doubling with the batch",
                x=sizes,
                y=tuple(first.examples_per_s * size / first.size for size in sizes),
                is_reference=True,
            ),
        ),
        lines=(ShownLine(text="least training time", x=float(least_time)),),
    )


def parts_plot(scaling: Scaling) -> ShownPlot:
    """What a step's time is spent on, against batch size."""
    sizes = tuple(float(each.size) for each in scaling.sizes)
    return ShownPlot(
        title="Time per step",
        label="Milliseconds of a training step against batch size: waiting for input, synchronization and computing.",
        x_name=SIZE,
        y_name="ms per step",
        x_scale="log",
        series=tuple(
            ShownSeries(name=part, x=sizes, y=tuple(1000 * each.parts_s[part] for each in scaling.sizes))
            for part in PARTS
        ),
    )


def steps_plot(to_target: ToTarget, objective: Objective) -> ShownPlot:
    """Steps to the target against batch size, with perfect scaling and the critical batch size (rule BA6)."""
    scaling = to_target.scaling
    reached = scaling.reached
    sizes = tuple(float(each.size) for each in reached)
    lines: tuple[ShownLine, ...] = ()
    if scaling.critical is not None and scaling.is_critical_seen:
        lines = (ShownLine(text="critical batch size", x=float(scaling.critical)),)
    return ShownPlot(
        title=f"Steps to a {objective.name} of {to_target.target:g}",
        label="The fewest steps to the target against batch size, beside perfect scaling, which halves them.",
        x_name=SIZE,
        y_name="steps",
        x_scale="log",
        y_scale="log",
        series=(
            ShownSeries(
                name="measured",
                x=sizes,
                y=tuple(None if each.fewest is None else float(each.fewest) for each in reached),
                low=tuple(_finite(each.low) for each in reached),
                high=tuple(_finite(each.high) for each in reached),
            ),
            ShownSeries(
                name="perfect scaling",
                x=sizes,
                y=tuple(scaling.perfect_steps(each.size) for each in reached),
                is_reference=True,
            ),
        ),
        lines=lines,
    )


def cost_plot(costs: Sequence[Cost], least: Cost | None) -> ShownPlot:
    """Training time to the target against batch size."""
    return ShownPlot(
        title="Training time to the target",
        label="Seconds of training to the target against batch size: time per step times steps.",
        x_name=SIZE,
        y_name="seconds",
        x_scale="log",
        y_scale="log",
        series=(
            ShownSeries(
                name="training time",
                x=tuple(float(each.size) for each in costs),
                y=tuple(each.seconds for each in costs),
                low=tuple(_finite(each.low_s) for each in costs),
                high=tuple(_finite(each.high_s) for each in costs),
            ),
        ),
        lines=() if least is None else (ShownLine(text="least", x=float(least.size)),),
    )


def _leading(sizes: Sequence[int], marked: Sequence[int]) -> tuple[int, ...]:
    return tuple(number for number, size in enumerate(sizes) if size in marked)


def _cost(seconds: float, amount: float) -> tuple[Cell, Cell]:
    return duration_text(seconds), float(f"{seconds * amount:.3g}")


def _digits(value: float) -> int | float:
    """Three significant digits; a whole number where it is no smaller than 100."""
    rounded = float(f"{value:.3g}")
    return int(rounded) if rounded >= 100 else rounded


def _steps(steps: float) -> str:
    return f"{steps:,.0f}" if math.isfinite(steps) else "not reached"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
