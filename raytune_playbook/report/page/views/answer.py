"""The page's first screen: the best trial of every scientific value, side by side (rules SD8, SD13 and IN13).

Of rule IN20, the time per step, the number of parameters and the peak memory of a worker stand beside the error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.curves import Evaluation
from raytune_playbook.analysis.summary import ArmResult
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.analysis.wording import (
    ABSENT,
    bytes_text,
    count_text,
    duration_text,
    number_text,
    value_text,
    values_text,
)
from raytune_playbook.report.formatting import counts_text, objective_text
from raytune_playbook.report.page.views.parts import TrialLink, step_text, trial_link, trial_value
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.study.evaluation_settings import FULL_VALIDATION

_SPLITS = {"validation": "sampled validation", FULL_VALIDATION: "validation"}
"""What the page calls them where evaluations scored a sample."""


@dataclass(frozen=True)
class Winner:
    """The best trial of the round, its objective, and the scientific values that it has (empty without any)."""

    trial: TrialLink
    objective: str
    arm: str


@dataclass(frozen=True)
class BestTrial:
    """The best trial under some scientific values.

    Fields:
        objective: what it is judged by.
        numbers: one under each of the view's ``number_heads`` but the objective's.
    """

    trial: TrialLink
    objective: str
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class AnswerRow:
    """One combination of scientific values.

    Fields:
        values: one under each of the view's ``arm_heads``.
        best: None where no trial was completed.
        num_ended: trials.
        counts: how they ended, in words.
        is_best: whether it has the round's best trial.
    """

    study: str
    values: tuple[str, ...]
    best: BestTrial | None
    num_ended: int
    counts: str
    is_best: bool


@dataclass(frozen=True)
class AnswerView:
    """The answer to the round's question, as far as it is known.

    Fields:
        title: the section's.
        lead: what the winner's objective is, in words.
        winner: None where no trial was completed.
        counts: how the round's trials ended.
        arm_heads, number_heads: of the table's columns; the first number is the objective.
        num_hidden: combinations of scientific values that are not shown.
        judged_by: the objective, in words.
        imbalances: a sentence for each study that was tuned more or less than the others (rule SD13).
    """

    title: str
    lead: str
    winner: Winner | None
    counts: str
    arm_heads: tuple[str, ...]
    number_heads: tuple[str, ...]
    rows: tuple[AnswerRow, ...]
    num_hidden: int
    judged_by: str
    imbalances: tuple[str, ...]


def answer_view(reading: RoundReading, metrics: Mapping[TrialId, Mapping[Evaluation, float]]) -> AnswerView:
    """What came out of a round.

    Args:
        reading: the round.
        metrics: what the best trial of every study scored at its best step.
    """
    summary = reading.summary
    measured = {trial.id: metrics.get(trial.id, {}) for arm in reading.arms if (trial := arm.best)}
    on_all = (FULL_VALIDATION, summary.objective.metric)  # where evaluations scored a sample (rule EV8)
    is_on_all = any(on_all in found for found in measured.values())
    judged_by = on_all if is_on_all else (summary.objective.split, summary.objective.metric)
    others = list(dict.fromkeys(name for found in measured.values() for name in found if name != judged_by))
    numbers = [
        summary.objective.name,
        *(["behind best"] if len(summary.arms) > 1 else []),
        "at step",
        *reading.varied,
        *(f"{_SPLITS.get(split, split) if is_on_all else split} {metric}" for split, metric in others),
        "time/step",
        "time",
        "parameters",
        "peak memory",
    ]
    return AnswerView(
        title="Best trial per scientific value" if reading.scientific else "Best trial",
        lead=_lead(reading),
        winner=_winner(reading),
        counts=counts_text(summary.total),
        arm_heads=tuple(reading.scientific or ["study"]),
        number_heads=tuple(numbers),
        rows=tuple(_row(reading, arm, measured, others) for arm in reading.arms),
        num_hidden=len(summary.arms) - len(reading.arms),
        judged_by=objective_text(summary.objective),
        imbalances=tuple(imbalance.sentence for imbalance in summary.imbalances),
    )


def _lead(reading: RoundReading) -> str:
    extreme = "Lowest" if reading.objective.goal == "minimize" else "Highest"
    so_far = "" if reading.summary.total.unfinished == 0 else " so far"
    return f"{extreme} {reading.objective.name}{so_far}"


def _winner(reading: RoundReading) -> Winner | None:
    best = reading.summary.best
    if best is None or best.best is None:
        return None
    return Winner(trial_link(best.best), number_text(best.best.objective), values_text(best.arm))


def _row(
    reading: RoundReading,
    arm: ArmResult,
    measured: Mapping[TrialId, Mapping[Evaluation, float]],
    others: Sequence[Evaluation],
) -> AnswerRow:
    values = [value_text(arm.arm[name]) if name in arm.arm else ABSENT for name in reading.scientific]
    trial = arm.best
    best = None
    if trial is not None:
        training = trial.training
        per_step_s = training.train_s / training.num_steps if training and training.num_steps else None
        numbers = [
            *([_behind(reading, trial)] if len(reading.summary.arms) > 1 else []),
            step_text(trial),
            *(trial_value(trial, name) for name in reading.varied),
            *(number_text(measured[trial.id].get(name)) for name in others),
            duration_text(per_step_s),
            duration_text(training.train_s if training else None),
            count_text(training.num_parameters if training else None),
            bytes_text(training.peak_memory_bytes if training else None),
        ]
        best = BestTrial(trial_link(trial), number_text(trial.objective), tuple(numbers))
    return AnswerRow(
        study=arm.study,
        values=tuple(values or [arm.study]),
        best=best,
        num_ended=arm.counts.num_ended,
        counts=counts_text(arm.counts),
        is_best=reading.summary.best is arm,
    )


def _behind(reading: RoundReading, trial: Trial) -> str:
    best = reading.summary.best.best if reading.summary.best else None
    if best is None or best is trial or best.objective is None or trial.objective is None:
        return ABSENT
    return f"{trial.objective - best.objective:+.2g}"
