"""What stands behind the numbers that trials are judged by, as HTML: the sample that was scored, and the classes.

Every text that comes from a record passes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import pyarrow as pa

from raytune_playbook.analysis.class_counts import ClassCount, class_counts, gained
from raytune_playbook.analysis.evaluation_sample import Skew, noise_warning, skews
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.figures import Colours
from raytune_playbook.report.formatting import ABSENT, arm_text, count_text, number_text
from raytune_playbook.report.page.markup import cell, chip, head, section, trial_link
from raytune_playbook.report.reading import RoundReading

Tables = Mapping[TrialId, pa.Table]
"""Measurements of the best trial of every study, and maybe of others."""


def sample(reading: RoundReading, colours: Colours, tables: Tables) -> str:
    """The sample that periodic evaluation scored against all examples (rules EV5 and EV8); none where all were."""
    metric = reading.objective.metric
    found = [(trial, skew) for trial in _best(reading) for skew in skews(tables.get(trial.id)) if skew.metric == metric]
    if not found:
        return ""
    heads = ["trial", "step", f"{metric} on the sample", "on all", "standard errors apart"]
    rows = "".join(
        f"<tr>{_who(reading, trial, colours)}"
        + cell(count_text(skew.step), "number")
        + cell(number_text(skew.sampled), "number")
        + cell(number_text(skew.full), "number main" if trial.best_step == skew.step else "number")
        + cell(number_text(skew.num_standard_errors, 2), "number")
        + "</tr>"
        for trial, skew in found
    )
    (first, *_) = (skew for _, skew in found)
    return section(
        "sample",
        "Sampled evaluation",
        f"<p>Evaluations scored {first.num_sample:,} of {first.num_total:,} validation examples, the same for all "
        "trials. The checkpoints that a trial kept were scored on all of them, and the best of those counts.</p>"
        + _table(heads, rows)
        + "".join(f'<p class="warning">{escape(sentence)}</p>' for sentence in _warnings(found)),
    )


def _warnings(found: list[tuple[Trial, Skew]]) -> list[str]:
    skewed = [skew for _, skew in found if skew.is_skewed]
    sentences = []
    if skewed:
        worst = max(skewed, key=lambda skew: skew.num_standard_errors)
        sentences.append(
            f"EV5: the sample is not like the whole set: {number_text(worst.sampled)} on it and "
            f"{number_text(worst.full)} on all, {worst.num_standard_errors:.1f} standard errors apart; evaluate on a "
            "larger sample, or on all examples."
        )
    at_best = sorted((skew for trial, skew in found if trial.best_step == skew.step), key=lambda skew: skew.sampled)
    if len(at_best) > 1 and all(0 <= skew.sampled <= 1 for skew in at_best):
        one, other = at_best[:2]
        warning = noise_warning(one.sampled, other.sampled, one.num_sample, one.num_total)
        sentences += [warning] if warning else []
    return sentences


def classes(reading: RoundReading, colours: Colours, tables: Tables) -> str:
    """How many examples of each class the best trials predict correctly (rule EV6); none where nothing was counted."""
    counts = {
        trial.id: class_counts(tables.get(trial.id), trial.best_step)
        for trial in _best(reading)
        if trial.best_step is not None
    }
    labels = {count.label: count for found in counts.values() for count in found}
    if not labels:
        return ""
    heads = ["trial", *(f"{label}, of {count.num_examples:,}" for label, count in labels.items())]
    rows = "".join(
        f"<tr>{_who(reading, trial, colours)}"
        + "".join(
            cell(_correct(next((c for c in counts[trial.id] if c.label == label), None)), "number") for label in labels
        )
        + "</tr>"
        for trial in _best(reading)
        if trial.id in counts
    )
    return section(
        "classes",
        "Correct predictions per class",
        f"<p>{escape(_rarest(reading, counts))}</p>" + _table(heads, rows),
    )


def _rarest(reading: RoundReading, counts: Mapping[TrialId, tuple[ClassCount, ...]]) -> str:
    """What a gain in the rarest class is worth, and between the best trial and the next how many examples it is."""
    trials = sorted(
        (trial for trial in _best(reading) if counts.get(trial.id)), key=lambda trial: trial is not _winner(reading)
    )
    rarest = counts[trials[0].id][0]
    worth = number_text(rarest.sensitivity_of_one, 2)
    sentence = f"One more correct example of class {rarest.label} adds {worth} to its sensitivity."
    if len(trials) > 1 and (before := counts[trials[1].id][0]).label == rarest.label:
        sentence += f" From trial {trials[1].key} of {trials[1].study} to the best: {gained(before, rarest)}"
    return sentence


def _winner(reading: RoundReading) -> Trial | None:
    return reading.summary.best.best if reading.summary.best else None


def _best(reading: RoundReading) -> list[Trial]:
    """The best trial of every scientific value, as far as they have any."""
    return [arm.best for arm in reading.arms if arm.best is not None]


def _who(reading: RoundReading, trial: Trial, colours: Colours) -> str:
    arm = next(arm.arm for arm in reading.arms if arm.best is trial)
    return f"<td>{chip(trial.study, colours)}{escape(arm_text(arm, trial.study))} {trial_link(trial)}</td>"


def _correct(count: ClassCount | None) -> str:
    return ABSENT if count is None else f"{count.num_correct:,} ({number_text(count.sensitivity, 3)})"


def _table(heads: list[str], rows: str) -> str:
    first, *others = heads
    cells = head(first) + "".join(head(name, "number") for name in others)
    return (
        f'<div class="scroll"><table class="compact"><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
