"""What stands behind the numbers that trials are judged by: the sample that was scored, and the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from raytune_playbook.analysis.class_counts import ClassCount, class_counts, gained
from raytune_playbook.analysis.evaluation_sample import Skew, noise_warning, skews
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.analysis.wording import ABSENT, count_text, number_text
from raytune_playbook.report.formatting import arm_text
from raytune_playbook.report.page.views.parts import TrialLink, trial_link
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.report.rules import explained

Tables = Mapping[TrialId, pa.Table]
"""Measurements of the best trial of every study, and maybe of others."""


@dataclass(frozen=True)
class Judged:
    """A trial that is the best of its study, and the study's scientific values."""

    study: str
    arm: str
    trial: TrialLink


@dataclass(frozen=True)
class SampleRow:
    """One step of a trial that was scored on the sample and on all examples; ``is_best`` at the step that counts."""

    judged: Judged
    step: str
    sampled: str
    full: str
    num_standard_errors: str
    is_best: bool


@dataclass(frozen=True)
class SampleView:
    """The sample that periodic evaluation scored, against all examples.

    Fields:
        metric: the objective's.
        num_sample, num_total: examples.
        warnings: sentences that say where the sample misleads.
    """

    metric: str
    num_sample: int
    num_total: int
    rows: tuple[SampleRow, ...]
    warnings: tuple[str, ...]


def sample_view(reading: RoundReading, tables: Tables) -> SampleView | None:
    """The sample against all examples (rules EV5 and EV8); None where all were scored."""
    metric = reading.objective.metric
    found = [(trial, skew) for trial in _best(reading) for skew in skews(tables.get(trial.id)) if skew.metric == metric]
    if not found:
        return None
    (first, *_) = (skew for _, skew in found)
    return SampleView(
        metric=metric,
        num_sample=first.num_sample,
        num_total=first.num_total,
        rows=tuple(
            SampleRow(
                judged=_judged(reading, trial),
                step=count_text(skew.step),
                sampled=number_text(skew.sampled),
                full=number_text(skew.full),
                num_standard_errors=number_text(skew.num_standard_errors, 2),
                is_best=trial.best_step == skew.step,
            )
            for trial, skew in found
        ),
        warnings=tuple(explained(warning) for warning in _warnings(found)),
    )


def _warnings(found: Sequence[tuple[Trial, Skew]]) -> list[str]:
    skewed = [skew for _, skew in found if skew.is_skewed]
    sentences = []
    if skewed:
        worst = max(skewed, key=lambda skew: skew.num_standard_errors)
        sentences.append(
            f"EV5: The sample is not like the whole set: {number_text(worst.sampled)} on it and "
            f"{number_text(worst.full)} on all, {worst.num_standard_errors:.1f} standard errors apart; evaluate on a "
            "larger sample, or on all examples."
        )
    at_best = sorted((skew for trial, skew in found if trial.best_step == skew.step), key=lambda skew: skew.sampled)
    if len(at_best) > 1 and all(0 <= skew.sampled <= 1 for skew in at_best):
        one, other = at_best[:2]
        warning = noise_warning(one.sampled, other.sampled, one.num_sample, one.num_total)
        sentences += [warning] if warning else []
    return sentences


@dataclass(frozen=True)
class ClassHead:
    """A class's name, and how many examples of it there are."""

    label: str
    num_examples: int


@dataclass(frozen=True)
class ClassesRow:
    """How many examples of each class a trial predicts correctly, in the order of the view's classes."""

    judged: Judged
    correct: tuple[str, ...]


@dataclass(frozen=True)
class ClassesView:
    """Correct predictions per class, the rarest first; ``rarest`` says what a gain in that one is worth."""

    rarest: str
    classes: tuple[ClassHead, ...]
    rows: tuple[ClassesRow, ...]


def classes_view(reading: RoundReading, tables: Tables) -> ClassesView | None:
    """How many examples of each class the best trials predict correctly (rule EV6); None where nothing was counted."""
    counts = {
        trial.id: {count.label: count for count in class_counts(tables.get(trial.id), trial.best_step)}
        for trial in _best(reading)
        if trial.best_step is not None
    }
    labels = {label: count.num_examples for found in counts.values() for label, count in found.items()}
    if not labels:
        return None
    return ClassesView(
        rarest=_rarest(reading, counts),
        classes=tuple(ClassHead(label, num_examples) for label, num_examples in labels.items()),
        rows=tuple(
            ClassesRow(_judged(reading, trial), tuple(_correct(counts[trial.id].get(label)) for label in labels))
            for trial in _best(reading)
            if trial.id in counts
        ),
    )


def _rarest(reading: RoundReading, counts: Mapping[TrialId, Mapping[str, ClassCount]]) -> str:
    """What a gain in the rarest class is worth, and between the best trial and the next how many examples it is."""
    winner = reading.summary.best.best if reading.summary.best else None
    trials = sorted((trial for trial in _best(reading) if counts.get(trial.id)), key=lambda trial: trial is not winner)
    rarest, *_ = counts[trials[0].id].values()
    worth = number_text(rarest.sensitivity_of_one, 2)
    sentence = f"One more correct example of class {rarest.label} adds {worth} to its sensitivity."
    if len(trials) > 1:
        before, *_ = counts[trials[1].id].values()
        if before.label == rarest.label:
            sentence += f" From trial {trials[1].text} to the best: {gained(before, rarest)}"
    return sentence


def _best(reading: RoundReading) -> list[Trial]:
    """The best trial of every scientific value, as far as they have any."""
    return [arm.best for arm in reading.arms if arm.best is not None]


def _judged(reading: RoundReading, trial: Trial) -> Judged:
    arm = next(arm.arm for arm in reading.arms if arm.best is trial)
    return Judged(trial.study, arm_text(arm, trial.study), trial_link(trial))


def _correct(count: ClassCount | None) -> str:
    return ABSENT if count is None else f"{count.num_correct:,} ({number_text(count.sensitivity, 3)})"
