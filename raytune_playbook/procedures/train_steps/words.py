"""What `train-steps` says: its sentences, table and plot as a record's data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.wording import count_text, number_text
from raytune_playbook.procedures.train_steps.sweep import End, Fit, Length, best_of, candidate
from raytune_playbook.records.procedures import ShownLine, ShownPlot, ShownSeries, ShownTable
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.wording import value_text


@dataclass(frozen=True)
class Sweeps:
    """What all sweeps came to.

    Fields:
        fits: of the last one, by learning rate.
        end: of its grid at which the best rate still is after the grid was widened; None for inside.
        length: of its trials.
        before: (steps, the lowest metric) of the sweeps before, in which nothing fitted.
        objective, target: what was to be reached.
        num_scored, num_train: training examples that were scored, and that there are.
        interval_steps: between the job's own evaluations.
    """

    fits: tuple[Fit, ...]
    end: End | None
    length: Length
    before: tuple[tuple[int, float | None], ...]
    objective: Objective
    target: float
    num_scored: int | None
    num_train: int | None
    interval_steps: int

    @property
    def best(self) -> Fit | None:
        return best_of(self.fits)

    @property
    def steps(self) -> int | None:
        """Of the fastest fit."""
        return None if self.best is None else self.best.steps

    @property
    def max_train_steps(self) -> int | None:
        """The candidate; None where nothing fits, or a better learning rate may lie beyond the grid."""
        return None if self.steps is None or self.end is not None else candidate(self.steps, self.interval_steps)

    @property
    def perfect(self) -> str:
        """What counts as a perfect fit, in words."""
        if self.objective.metric == "error":
            return "a training error of 0"
        return f"a training {self.objective.metric} of at most {number_text(self.target)}"


def verdict(sweeps: Sweeps) -> str:
    """What it came to."""
    best = sweeps.best
    if best is None:
        return "No learning rate could be trained: there is no candidate for max_train_steps."
    rate = value_text(best.learning_rate)
    if best.steps is None:
        return (
            f"Nothing fits the training set within {count_text(sweeps.length.num_steps)} steps, so this procedure does "
            f"not apply: the lowest training {sweeps.objective.metric} is {number_text(best.lowest)}, at a learning "
            f"rate of {rate}."
        )
    if sweeps.end is not None:
        return (
            f"No candidate for max_train_steps yet: the fastest learning rate, {rate}, is at the {sweeps.end} end of "
            "those that were tried, so a faster one may lie beyond it."
        )
    return (
        f"A candidate for max_train_steps is {count_text(sweeps.max_train_steps)}: the fastest constant learning rate, "
        f"{rate}, fits the training set after {count_text(best.steps)} steps."
    )


def sentences(sweeps: Sweeps, off: dict[str, Value], noise: Sequence[str]) -> tuple[str, ...]:
    """What the verdict rests on, and what it leaves open."""
    named = ", ".join(f"{name}={value_text(value)}" for name, value in off.items())
    found = [
        f"A perfect fit is {sweeps.perfect} {_scored(sweeps)}, evaluated every "
        f"{count_text(sweeps.length.interval_steps)} steps. Switched off for it: {named}. A regularizer of the "
        "workload's own that is not among these was left as it is."
    ]
    if sweeps.before:
        tried = "; ".join(f"{count_text(steps)} steps: {number_text(lowest)}" for steps, lowest in sweeps.before)
        found.append(f"Fewer steps fit at no learning rate; the lowest training {sweeps.objective.metric} ({tried}).")
    if sweeps.max_train_steps is not None:
        found.append(
            f"{count_text(sweeps.steps)} is rounded up to an evaluation of the job's, every "
            f"{count_text(sweeps.interval_steps)} steps. It is a first guess: when in doubt take more, since the best "
            "checkpoint is chosen in retrospect."
        )
        if noise:
            found.append(f"The job also has {', '.join(noise)}, which may take more steps than this.")
    elif sweeps.steps is None:
        found.append(
            "Training may be compute-bound, the model too small to fit, or labels contradict each other; or more steps "
            "are needed than were tried (--max-steps), or a low loss is all there is to reach (--loss)."
        )
        found += _goal(sweeps)
    return tuple(found)


def _goal(sweeps: Sweeps) -> list[str]:
    """What may be wrong with a goal that nothing has reached."""
    if sweeps.objective.metric == "error":
        return [
            "An error that is no share of misclassified examples, such as a regression's, hardly reaches 0: say with "
            "--loss which training loss is good enough."
        ]
    lowest = None if sweeps.best is None else sweeps.best.lowest
    if sweeps.target < 0 and lowest is not None and lowest >= 0:
        return [
            f"No training loss was below 0: where it cannot be, as a squared one, give a --loss above "
            f"{number_text(lowest)}."
        ]
    return []


def fits_table(sweeps: Sweeps) -> ShownTable:
    """What each learning rate came to."""
    fits = sorted(sweeps.fits, key=lambda fit: fit.learning_rate)
    metric = f"lowest training {sweeps.objective.metric}"
    best = sweeps.best
    return ShownTable(
        title=f"Constant learning rates, up to {count_text(sweeps.length.num_steps)} steps",
        columns=("learning rate", "steps to fit", metric, "infeasible"),
        rows=tuple((fit.learning_rate, fit.steps, fit.lowest, fit.reason) for fit in fits),
        leading=tuple(place for place, fit in enumerate(fits) if fit == best),
    )


def fits_plot(sweeps: Sweeps) -> ShownPlot | None:
    """Steps to fit against learning rate; where none fits the lowest metric instead."""
    fits = sorted((fit for fit in sweeps.fits if fit.lowest is not None), key=lambda fit: fit.learning_rate)
    if not fits:
        return None
    is_fit = sweeps.steps is not None
    y_name = "steps to fit the training set" if is_fit else f"lowest training {sweeps.objective.metric}"
    line = sweeps.best
    return ShownPlot(
        title=f"{y_name[0].upper()}{y_name[1:]} by constant learning rate",
        label=f"{y_name}, against the learning rate; a learning rate that does not fit leaves a gap.",
        x_name="learning rate",
        y_name=y_name,
        x_scale="log",
        series=(
            ShownSeries(
                name=y_name,
                x=tuple(fit.learning_rate for fit in fits),
                y=tuple(fit.steps if is_fit else fit.lowest for fit in fits),
            ),
        ),
        lines=() if line is None else (ShownLine(text="best", x=line.learning_rate),),
    )


def _scored(sweeps: Sweeps) -> str:
    num, total = sweeps.num_scored, sweeps.num_train
    if num is None or total is None:
        return "in evaluation mode"
    if num == total:
        return f"on all {count_text(total)} training examples, in evaluation mode"
    sample = f"on a fixed sample of {count_text(num)} of the {count_text(total)} training examples, in evaluation mode"
    if sweeps.objective.metric != "error":
        return sample
    # The rule of three: of so many without a single miss, with 95% confidence.
    return f"{sample} (then at most {3 / num:.1%} of all are misclassified, with 95% confidence)"
