"""The page's table of all trials, and what a plot shows of a trial when one points at it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.input_pipeline import step_time
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.analysis.wording import ABSENT, count_text, duration_text, number_text
from raytune_playbook.records.types import Outcome
from raytune_playbook.report.figures.style import trial_name
from raytune_playbook.report.formatting import arm_text, arm_values_text
from raytune_playbook.report.page.views.parts import step_text, trial_value
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.study.frozen import Value


@dataclass(frozen=True)
class SortableCell:
    """What a cell shows, and what its column is sorted by; None goes last."""

    text: str
    value: Value


@dataclass(frozen=True)
class LogFile:
    """A log's path within the round's folder, and its name: attempt and rank."""

    path: str
    name: str


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Fields:
        name, text: by which links find it, and as commands take it.
        study, arm: its study, and that one's scientific values.
        outcome: how it ended, or ``unfinished``.
        cells: one under each of the view's ``number_heads``.
        reason: why it is infeasible; empty where it is not.
        traceback: the newest, None without any; ``error`` is its last line.
        logs: of all attempts and ranks.
    """

    name: str
    text: str
    study: str
    arm: str
    outcome: str
    cells: tuple[SortableCell, ...]
    reason: str
    traceback: str | None
    error: str
    logs: tuple[LogFile, ...]


@dataclass(frozen=True)
class TrialsView:
    """The table of all trials; ``arm_head`` is that of the scientific values."""

    arm_head: str
    number_heads: tuple[str, ...]
    rows: tuple[TrialRow, ...]


def trials_view(reading: RoundReading, logs: Mapping[TrialId, Sequence[str]]) -> TrialsView:
    """Every trial.

    Args:
        reading: the round.
        logs: paths of each trial's log files within the round's folder.
    """
    arms = {study.name: arm_values_text(study.arm, study.name) for study in reading.studies}
    return TrialsView(
        arm_head=", ".join(reading.scientific) or "study",
        number_heads=(reading.objective.name, "at step", *reading.varied, "time", "waiting for input", "attempts"),
        rows=tuple(_row(trial, arms[trial.study], reading.varied, logs.get(trial.id, ())) for trial in reading.trials),
    )


def _row(trial: Trial, arm: str, varied: Sequence[str], logs: Sequence[str]) -> TrialRow:
    time = step_time([trial])
    share = time.input_share if time else None
    train_s = trial.training.train_s if trial.training else None
    return TrialRow(
        name=trial_name(trial.id),
        text=trial.text,
        study=trial.study,
        arm=arm,
        outcome=trial.outcome or "unfinished",
        cells=(
            SortableCell(number_text(trial.objective), trial.objective),
            SortableCell(step_text(trial), trial.best_step),
            *(SortableCell(trial_value(trial, name), trial.values.get(name)) for name in varied),
            SortableCell(duration_text(train_s), train_s),
            SortableCell(ABSENT if share is None else f"{share:.0%}", share),
            SortableCell(str(len(trial.attempts)), len(trial.attempts)),
        ),
        reason=trial.reason or "",
        traceback=trial.last_traceback,
        error=_error(trial),
        logs=tuple(LogFile(path, ".".join(path.rsplit(".", 3)[1:3])) for path in logs),
    )


def _error(trial: Trial) -> str:
    """The last line of a trial's newest traceback."""
    return (trial.last_traceback or "").strip().rpartition("\n")[2]


@dataclass(frozen=True)
class HoverView:
    """What a plot shows of a trial: its name as commands take it and scientific values, then lines."""

    text: str
    arm: str
    lines: tuple[str, ...]


def hover_view(trial: Trial, arm: Mapping[str, Value], reading: RoundReading) -> HoverView:
    """What a plot shows of a trial when one points at it."""
    lines = []
    if trial.objective is not None:
        lines.append(f"{reading.objective.name} {number_text(trial.objective)} at step {count_text(trial.best_step)}")
    lines += [f"{name} = {trial_value(trial, name)}" for name in reading.varied]
    if trial.outcome != Outcome.COMPLETED:
        words = f"{trial.outcome or 'unfinished'}: {trial.reason or _error(trial)}"
        lines += textwrap.wrap(words, 60)[:4]
    return HoverView(trial.text, arm_text(arm, trial.study), tuple(lines))
