"""Numbers, values and times as text, the same on the page and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from raytune_playbook.analysis.evaluation_sample import STANDARD_ERROR, standard_error_column
from raytune_playbook.analysis.summary import Counts
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import number_text
from raytune_playbook.records.scores import TEST, ScoreRecord
from raytune_playbook.report.rules import explained
from raytune_playbook.study.frozen import Value
from raytune_playbook.study.settings import Budget, Objective
from raytune_playbook.study.wording import value_text, values_text


def objective_text(objective: Objective, *, has_curves: bool = True) -> str:
    """What trials are judged by, in words (rule IN13: the choice is visible).

    Args:
        objective: that judges.
        has_curves: whether it was chosen from a trial's training; else one value of each trial is all that is known.
    """
    extreme = "lowest" if objective.goal == "minimize" else "highest"
    if not has_curves:
        return f"{extreme} {objective.name}"
    if objective.over == "last":
        return f"{objective.name} at the end of training; the {extreme} is best"
    return f"{extreme} {objective.name} over training"


def arm_text(arm: Mapping[str, Value], study: str) -> str:
    """A study's scientific values, or its name where it has none."""
    return values_text(arm) or study


def arm_values_text(arm: Mapping[str, Value], study: str) -> str:
    """A study's scientific values without their names, or its own name where it has none."""
    return ", ".join(value_text(value) for value in arm.values()) or study


def counts_text(counts: Counts) -> str:
    """How trials ended, in one line."""
    parts = [f"{counts.completed:,} completed"]
    if counts.num_infeasible:
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in counts.infeasible.items())
        parts.append(f"{counts.num_infeasible:,} infeasible ({reasons})")
    if counts.failed:
        parts.append(f"{counts.failed:,} failed")
    if counts.unfinished:
        parts.append(f"{counts.unfinished:,} unfinished")
    return ", ".join(parts)


def metrics_text(score: ScoreRecord) -> str:
    """What a model scored, each mean with its standard error; empty where nothing was."""
    means = {name: value for name, value in score.metrics.items() if not name.startswith(STANDARD_ERROR)}
    return ", ".join(_with_error(name, value, score) for name, value in means.items())


def _with_error(name: str, value: float | None, score: ScoreRecord) -> str:
    error = score.metrics.get(standard_error_column(name))
    shown = "not finite" if value is None else number_text(value)
    return f"{name} {shown}" if error is None else f"{name} {shown} ± {number_text(error, 2)}"


def looks_text(scores: Sequence[ScoreRecord]) -> str:
    """How often the test set was looked at."""
    number = sum(score.split == TEST for score in scores)
    if number == 0:
        return "The test set was not looked at."
    times = {1: "once", 2: "twice"}.get(number, f"{number} times")
    return explained(f"AD6: The test set was looked at {times}; what is chosen by it is flattered by it.")


MOST_TRIALS_NAMED = 20


def deleted_checkpoints_text(trials: Sequence[Trial], budget: Budget) -> str | None:
    """Whose checkpoints were deleted to keep a round within its budget; None where nobody's were."""
    deleted = [trial.text for trial in trials if trial.checkpoints_deleted]
    if not deleted:
        return None
    limit_gib = budget.max_checkpoint_gib
    limit = "Budget.max_checkpoint_gib" if limit_gib is None else f"Budget(max_checkpoint_gib={limit_gib:g})"
    more = len(deleted) - MOST_TRIALS_NAMED
    named = ", ".join(deleted[:MOST_TRIALS_NAMED]) + (f" and {more:,} more" if more > 0 else "")
    return (
        f"Of {len(deleted):,} of {len(trials):,} trials the checkpoints were deleted, for others to have room within "
        f"{limit}: {named}. Their curves and predictions are kept."
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Positions for ticks on a logarithmic axis: decades, or 1-2-5 steps where the range has few of them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    num_decades = math.log10(high / low)
    mantissas = (1,) if num_decades > 2.5 else (1, 2, 5) if num_decades > 0.7 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    stride = max(1, round(num_decades / 6))
    decades = [exponent for exponent in range(first, last + 1) if exponent % stride == 0]
    # Written as text and read again, for 5 * 10**-4 is not 0.0005.
    ticks = [float(f"{mantissa}e{exponent}") for exponent in decades for mantissa in mantissas]
    slack = 1 + 1e-9
    return [tick for tick in ticks if low / slack <= tick <= high * slack]
