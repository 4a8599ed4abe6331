"""What `check-initial` says: its sentences, table and plot as a record's data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from raytune_playbook.analysis.wording import count_text, duration_text, form_for, number_text
from raytune_playbook.procedures.check_initial.against_chance import CLEARLY, SIGNIFICANT, Judged, Scored
from raytune_playbook.records.procedures import ShownLine, ShownPlot, ShownSeries, ShownTable
from raytune_playbook.records.types import Training
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.wording import values_text

NUM_BARS = 30

MUCH = 0.25
"""A share of the training's time that is worth a sentence, where it is a time that somebody waits for."""

SHORT_S = 10.0
"""A training that takes no longer need not be made faster."""


FEW_EXAMPLES = 100
"""Of fewer validation examples one is more than 1% of an error."""

NEARLY_WHOLE = 1e-3
"""So close to a whole number of examples a mean is that counts them."""


@dataclass(frozen=True)
class Pace:
    """What the initial configuration costs.

    Fields:
        training: of its trial.
        num_trials: that the job's round has.
        num_gangs: that run at once.
        patience_s: what a whole round may take.
    """

    training: Training
    num_trials: int
    num_gangs: int
    patience_s: float

    @property
    def time_per_step_s(self) -> float | None:
        parts = self.training.time_by_part
        return None if parts is None or not self.training.num_steps else parts.total_s / self.training.num_steps

    @property
    def round_s(self) -> float:
        """The job's round at this pace."""
        return math.ceil(self.num_trials / max(1, self.num_gangs)) * self.training.train_s

    @property
    def is_fast(self) -> bool:
        return self.round_s <= self.patience_s

    def share(self, seconds: float | None) -> float:
        """Of the trial's seconds."""
        return (seconds or 0.0) / self.training.train_s if self.training.train_s else 0.0


def configuration_sentence(values: dict[str, Value], num_parameters: int | None) -> str:
    """Which configuration that is."""
    of_round = f", and of what the round varies {values_text(values)}" if values else ""
    size = "" if num_parameters is None else f", {count_text(num_parameters)} parameters"
    return f"The initial configuration: what the job fixes and the workload's defaults{of_round}{size}."


def pace_sentences(pace: Pace) -> tuple[str, ...]:
    """What it costs, and what of that is no computing."""
    training, step_s = pace.training, pace.time_per_step_s
    each = "" if step_s is None else f", {duration_text(step_s)} a step"
    trials = f"{pace.num_trials} {form_for(pace.num_trials, 'trial', 'trials')}"
    gangs = f"{pace.num_gangs} {form_for(pace.num_gangs, 'gang', 'gangs')}"
    found = [
        f"{'Fast' if pace.is_fast else 'Not fast'}: {count_text(training.num_steps)} steps took "
        f"{duration_text(training.train_s)}{each}. The round has {trials}, and at this pace takes about "
        f"{duration_text(pace.round_s)} on {gangs}; it may take {duration_text(pace.patience_s)}."
    ]
    if not pace.is_fast:
        found.append(
            "Start with a smaller model or fewer steps; --round-hours says how long you would wait for a round."
        )
    if training.train_s <= SHORT_S:
        return tuple(found)
    if (share := pace.share(training.evaluations_s)) > MUCH:
        found.append(f"Evaluations took {share:.0%} of that: evaluate less often, or on a sample (evaluation_sample).")
    if (share := pace.share(training.input_s)) > MUCH:
        found.append(f"Waiting for input took {share:.0%} of that: the round's page says for which part of it.")
    return tuple(found)


def simplicity_sentence(not_simple: tuple[str, ...]) -> str:
    """Whether it is simple, and what is not."""
    if not not_simple:
        return "Simple: a simple optimizer, a constant learning rate, no averaging, regularization or augmentation."
    return f"Not as simple as it could be: {'; '.join(not_simple)}. What is left out now can always be added later."


def chance_sentences(judged: Judged, scored: Scored, objective: Objective) -> tuple[str, ...]:
    """How the configuration compares with chance, and how that was measured."""
    value, metric = number_text(scored.value), scored.metric
    if judged.is_clearly_better:
        verdict = "Clearly better than chance"
    elif judged.share > 0 and (judged.p_value is None or judged.p_value <= SIGNIFICANT):
        verdict = "Better than chance, but not clearly"
    else:
        verdict = "Not better than chance"
    share = "" if math.isinf(judged.share) else f", {abs(judged.share):.0%} {'better' if judged.share > 0 else 'worse'}"
    found = [
        f"{verdict}: validation {metric} {value} after the last step, against {number_text(judged.level)} of "
        f"{judged.level_of}{share} (at least {CLEARLY:.0%} is asked for)."
    ]
    num = count_text(scored.num_examples)
    if judged.p_value is not None:
        found.append(
            f"With the labels of {num} validation examples permuted among them the same predictions give "
            f"{number_text(judged.chance)} (the median of {len(scored.permuted)}). If nothing were learned, a value as "
            f"good as {value} would come up with a probability of {judged.p_value:.2g}."
        )
    else:
        found.append(f"No labels were permuted: {scored.why_not_permuted}; so it is measured by the untrained model.")
    found.append(
        "The model after the last step is scored, for the best one was chosen by these examples and would be flattered."
    )
    return tuple(found)


def resolution_sentence(scored: Scored) -> str | None:
    """What one validation example is worth where that is much; None where it is little, or the metric no such count."""
    num, values = scored.num_examples, [scored.value, *scored.permuted]
    is_count = all(0 <= value <= 1 and abs(value * num - round(value * num)) < NEARLY_WHOLE for value in values)
    if not num or num >= FEW_EXAMPLES or not is_count:
        return None
    return (
        f"There {form_for(num, 'is', 'are')} only {num} validation {form_for(num, 'example', 'examples')}: one is "
        f"{number_text(1 / num, 2)} of the {scored.metric}, so smaller differences cannot be seen. Give validation "
        "more of the examples, or judge by a metric that tells more of each, such as the loss."
    )


def chance_table(judged: Judged, scored: Scored, untrained: float | None) -> ShownTable:
    """What the metric is with the configuration, and without anything learned."""
    rows: list[tuple[str, float | None]] = [("this configuration, after its last step", scored.value)]
    if scored.permuted:
        rows.append(("the same predictions, labels permuted (median)", judged.chance))
    if scored.constant is not None:
        rows.append(("the same guess for every example", scored.constant))
    rows.append(("before the first step", untrained))
    return ShownTable(
        title="Validation examples, with and without anything learned",
        columns=("predictions", scored.metric),
        rows=tuple(rows),
        leading=(0,),
    )


def chance_plot(scored: Scored, judged: Judged) -> ShownPlot | None:
    """The metric over the permutations, and where the configuration's is."""
    permuted = np.array([value for value in scored.permuted if math.isfinite(value)])
    if len(permuted) < 2:
        return None
    counts, edges = np.histogram(permuted, bins=min(NUM_BARS, len(np.unique(permuted))))
    return ShownPlot(
        title=f"Validation {scored.metric} with permuted labels",
        label=(
            f"A histogram of the validation {scored.metric} over {len(permuted)} permutations of the labels, around "
            f"{number_text(judged.chance)}, and a line at {number_text(scored.value)}, which the configuration has."
        ),
        x_name=f"validation {scored.metric}",
        y_name="permutations",
        series=(
            ShownSeries(
                name="permuted labels",
                x=tuple(((edges[:-1] + edges[1:]) / 2).tolist()),
                y=tuple(float(count) for count in counts),
                style="bars",
            ),
        ),
        lines=(ShownLine(text=f"this configuration, {number_text(scored.value)}", x=scored.value),),
    )
