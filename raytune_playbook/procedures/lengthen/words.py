"""What a lengthened round came to, in sentences, tables and plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.wording import count_text, duration_text, form_for, number_text
from raytune_playbook.procedures.lengthen.branches import BranchEnd, best_of, better_than_none, whole_s
from raytune_playbook.procedures.lengthen.comparison import Change, Compared, Verdict, carries_over
from raytune_playbook.records.procedures import Cell, ShownLine, ShownPlot, ShownSeries, ShownTable
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.wording import value_text

GROWTH = 10
"""Rule LN4: from round to round training grows about so many times longer."""

MOST_GROWTH, LEAST_GROWTH = 20, 3
"""Beyond these a round is far from a tenth of the next one."""


@dataclass(frozen=True)
class Lengths:
    """What was compared: a training of so many steps with one of so many more, by an objective."""

    short: int
    long: int
    objective: Objective

    def text(self, cost: float) -> str:
        """A cost as the objective's value."""
        return number_text(self.value(cost)) if math.isfinite(cost) else "infeasible"

    def value(self, cost: float) -> float:
        """The objective's value of a cost, of which small ones are good."""
        return cost if self.objective.goal == "minimize" else -cost


def growth_text(short_steps: int, long_steps: int) -> str | None:
    """What the playbook says to such a growth (rule LN4); None where it is about tenfold."""
    growth = long_steps / short_steps
    if growth > MOST_GROWTH:
        return (
            f"From {count_text(short_steps)} to {count_text(long_steps)} steps is {growth:.3g} times as long; lengths "
            f"that grow about {GROWTH} times from round to round risk less: a round of "
            f"{count_text(short_steps * GROWTH)} steps in between would check the conclusions early (LN4)."
        )
    if growth < LEAST_GROWTH:
        return (
            f"From {count_text(short_steps)} to {count_text(long_steps)} steps is only {growth:.3g} times as long; the "
            f"playbook's short rounds are about a tenth of the production length, so a shorter first round would have "
            "answered the same for less (LN4)."
        )
    return None


def paid_text(lengths: Lengths, short: float, long: float, *, has_paid: bool) -> str:
    """Whether training for longer has paid.

    Args:
        short, long: the best objective at each length.
    """
    after = f"{number_text(long)} {lengths.objective.name} at best after {count_text(lengths.long)} steps"
    before = f"{number_text(short)} after {count_text(lengths.short)}"
    if has_paid:
        return f"Longer training paid: {after}, against {before}."
    return (
        f"Longer training did not pay: {after}, against {before}. The search picked the short run for being the best, "
        "which is partly luck: a small difference says little."
    )


def verdict_text(verdict: Verdict, lengths: Lengths, *, was_shown: bool) -> str:
    """Whether the short round's conclusion holds (rule LN6).

    Args:
        was_shown: whether the short round had shown that its best value is better; else it concluded nothing.
    """
    short, long = f"{count_text(lengths.short)} steps", f"{count_text(lengths.long)} steps"
    best, name = verdict.best_long, lengths.objective.name
    reached = f"{lengths.text(best.long)} {name}"
    if not verdict.has_answer:
        if verdict.is_same_point:
            return f"The best point of {short} is the best of {long}, too: {best.name}, with {reached}."
        return (
            f"Another point is best after {long}: {best.name} with {reached}; the best of {short}, "
            f"{verdict.best_short.name}, comes to {lengths.text(verdict.best_short.long)}."
        )
    ahead = min((leads[1] for arm, leads in verdict.leads.items() if arm != best.arm_text), default=0.0)
    others = "all others are infeasible" if math.isinf(ahead) else f"{number_text(ahead, 3)} ahead of the next value"
    if not was_shown:
        too = f", as its best trial was after {short}" if verdict.is_same_answer else ""
        return (
            f"After {short} no difference between the values was shown; after {long} the best trial is of "
            f"{best.arm_text}{too}: {reached}, {others}."
        )
    if verdict.is_same_answer:
        return f"The answer holds: {best.arm_text} is the best after {long} as after {short}, with {reached}, {others}."
    return (
        f"The answer changed with the length: after {short} {verdict.best_short.arm_text} was the best, after {long} "
        f"{best.arm_text} is, with {reached}, {others}."
    )


def correlation_text(verdict: Verdict, num_points: int) -> str:
    """How far short trainings rank points as long ones do."""
    found = verdict.correlation
    if found is None:
        return (
            f"{num_points} {form_for(num_points, 'point does', 'points do')} not tell how alike both lengths rank "
            "points; --num-trials 8 or more would."
        )
    if found.low > 0:
        told = "a short training tells which of these points are better"
    elif found.high < 0.5:
        told = "a short training does not tell which of these points are better: tune in rounds of the long length"
    else:
        told = "so few points leave open whether a short training tells which of them are better"
    return (
        f"Over the same {found.num_points} points the rank correlation of both lengths is {found.value:.2f} (Spearman, "
        f"95% interval {found.low:.2f} to {found.high:.2f}): {told}. These are the best points of the short round; "
        "over all of its points, which differ more, it would be higher."
    )


def chance_text(verdict: Verdict) -> str | None:
    """What the lead of a value in the long round rests on; None where nothing is compared."""
    if not verdict.has_answer:
        return None
    return (
        "Each point was trained once at each length: how much of a lead is chance, only retraining the best points of "
        "both values would tell (variance)."
    )


def moved_text(verdict: Verdict) -> str:
    """Which hyperparameters have another best value (rules LN5 and LN6)."""
    moved = [change for change in verdict.changes if change.has_moved]
    if not moved:
        return "No hyperparameter of the best point has moved."
    return f"In the best point moved: {'; '.join(_moved(change) for change in moved)}."


def _moved(change: Change) -> str:
    return (
        f"{change.name} from {value_text(change.short)} to {value_text(change.long)} "
        f"(carries over: {carries_over(change.name)})"
    )


def points_table(points: Sequence[Compared], verdict: Verdict, lengths: Lengths) -> ShownTable:
    """Every point at both lengths, the best of the long round first."""
    shown = sorted(points, key=lambda point: point.long)
    names = [name for name in shown[0].values if any(p.values[name] != shown[0].values[name] for p in shown)]
    place = {point.name: number for number, point in enumerate(sorted(points, key=lambda p: p.short), 1)}
    rows: list[tuple[Cell, ...]] = []
    for number, point in enumerate(shown, 1):
        long: Cell = lengths.value(point.long) if math.isfinite(point.long) else "infeasible"
        ranks = (place[point.name], number)
        rows.append((point.name, *(point.values[n] for n in names), lengths.value(point.short), long, *ranks))
    return ShownTable(
        title=f"{lengths.objective.name} of the same points after {count_text(lengths.short)} and after "
        f"{count_text(lengths.long)} steps",
        columns=(
            "trial",
            *names,
            f"after {count_text(lengths.short)}",
            f"after {count_text(lengths.long)}",
            "rank, short",
            "rank, long",
        ),
        rows=tuple(rows),
        leading=(shown.index(verdict.best_long),),
    )


def carried_table(verdict: Verdict) -> ShownTable:
    """What varies, how likely it carries over, and whether it moved (rule LN5)."""
    return ShownTable(
        title="What carries over from the short round to the long one",
        columns=("hyperparameter", "carries over", "best, short", "best, long", "moved"),
        rows=tuple(
            (change.name, str(carries_over(change.name)), change.short, change.long, change.has_moved)
            for change in verdict.changes
        ),
    )


def points_plot(points: Sequence[Compared], lengths: Lengths) -> ShownPlot | None:
    """Both lengths against each other, a series for each scientific value; None of fewer than two points."""
    feasible = [point for point in points if math.isfinite(point.long)]
    if len(feasible) < 2:
        return None
    arms = list(dict.fromkeys(point.arm_text for point in feasible))
    series = []
    for arm in arms:
        own = [point for point in feasible if point.arm_text == arm]
        x, y = tuple(lengths.value(p.short) for p in own), tuple(lengths.value(p.long) for p in own)
        series.append(ShownSeries(name=arm, x=x, y=y, style="points"))
    name = lengths.objective.name
    return ShownPlot(
        title="Do short trainings rank points as long ones do?",
        label=f"The {name} of each point after {lengths.short} steps, against that after {lengths.long} steps.",
        x_name=f"{name} after {count_text(lengths.short)} steps",
        y_name=f"after {count_text(lengths.long)} steps",
        series=tuple(series),
    )


# ---------------------------------------------------------------------- branches


def branches_texts(ends: Sequence[BranchEnd], constant: BranchEnd, objective: Objective) -> list[str]:
    """What the branches came to, and what they cost."""
    all_s, own_s = whole_s(ends), constant.whole_s + math.fsum(end.own_s for end in ends)
    saved = (
        f"{len(ends)} decays were branched off one run at a constant learning rate: {duration_text(own_s)} of training "
        f"in all, where {len(ends)} trainings from the first step would have taken {duration_text(all_s)} "
        f"({1 - own_s / all_s:.0%} saved)."
    )
    best = best_of(ends, is_minimized=objective.goal == "minimize")
    if best is None:
        return [saved, "No branch of the full length could be trained."]
    steps, decay = best.branch.max_train_steps, best.branch.decay_steps
    if better_than_none(ends, constant, objective) is None:
        return [
            saved,
            f"Of {count_text(steps)} steps no decay is better than none: {number_text(best.objective)} "
            f"{objective.name} at best in the steps after a branch, against {number_text(constant.objective)} that "
            f"the constant learning rate reached{_when(best, constant)}.{_shorter_text(ends, constant, objective)}",
        ]
    against = "" if constant.objective is None else f", against {number_text(constant.objective)} without a decay"
    found = (
        f"Of {count_text(steps)} steps a decay over the last {count_text(decay)} ({decay / steps:.0%}) is the best: "
        f"{number_text(best.objective)} {objective.name}{against}."
    )
    others = sorted({end.branch.decay_steps for end in ends if end.branch.max_train_steps == steps})
    if len(others) > 1 and decay in (others[0], others[-1]):
        found += f" It is the {'shortest' if decay == others[0] else 'longest'} that was tried, so try beyond it."
    return [saved, found]


def _shorter_text(ends: Sequence[BranchEnd], constant: BranchEnd, objective: Objective) -> str:
    """That a shorter training with a decay is better than all of the full length, where one is."""
    shorter = [end for end in ends if end.branch.max_train_steps < constant.branch.max_train_steps]
    best = better_than_none(shorter, constant, objective)
    if best is None:
        return ""
    return (
        f" {count_text(best.branch.max_train_steps)} steps with a decay over the last "
        f"{count_text(best.branch.decay_steps)} had {number_text(best.objective)}: train for fewer steps."
    )


def _when(best: BranchEnd, constant: BranchEnd) -> str:
    if constant.best_step is None:
        return ""
    before = ", before the best decay branched off" if constant.best_step <= best.branch.from_step else ""
    return f" at step {count_text(constant.best_step)}{before}"


def branches_table(ends: Sequence[BranchEnd], constant: BranchEnd, objective: Objective) -> ShownTable:
    """Every branch by its own steps, and the run that they were branched off; the best of the full length leads."""
    best = better_than_none(ends, constant, objective)
    shown = [constant, *ends]
    rows = [
        (
            end.branch.max_train_steps,
            end.branch.decay_steps,
            end.branch.from_step,
            end.objective,
            end.best_step,
            end.own_s,
        )
        for end in shown
    ]
    return ShownTable(
        title="Decays branched off one run at a constant learning rate",
        columns=(
            "steps in all",
            "of them decay",
            "branched at step",
            f"{objective.name} after it",
            "at step",
            "own training, s",
        ),
        rows=tuple(rows),
        leading=(shown.index(best or constant),),
    )


def branches_plot(ends: Sequence[BranchEnd], constant: BranchEnd, objective: Objective) -> ShownPlot:
    """The objective over the decay's length, a line for each number of steps in all."""
    totals = list(dict.fromkeys(end.branch.max_train_steps for end in ends))
    series = []
    for total in totals:
        own = [end for end in ends if end.branch.max_train_steps == total]
        x = tuple(float(end.branch.decay_steps) for end in own)
        series.append(ShownSeries(name=f"{count_text(total)} steps in all", x=x, y=tuple(end.objective for end in own)))
    lines = (
        ()
        if constant.objective is None
        else (ShownLine(text=f"{count_text(constant.branch.max_train_steps)} steps, no decay", y=constant.objective),)
    )
    return ShownPlot(
        title="How long should the decay be?",
        label=f"The {objective.name} in the last steps of trainings that decay over so many of them.",
        x_name="steps of decay",
        y_name=objective.name,
        series=tuple(series),
        lines=lines,
    )
