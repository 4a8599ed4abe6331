"""The page's first screen as HTML: what the round asked, what came out, and what that is bound to.

Every text that comes from a record passes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape

from raytune_playbook.analysis.curves import Evaluation
from raytune_playbook.analysis.summary import ArmResult
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.figures import Colours
from raytune_playbook.report.formatting import (
    ABSENT,
    count_text,
    counts_text,
    duration_text,
    number_text,
    objective_text,
    range_text,
    value_text,
    values_text,
)
from raytune_playbook.report.page.markup import cell, chip, head, row, section, step_text, trial_link, trial_value
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.study.evaluation_settings import FULL_VALIDATION

_SPLITS = {"validation": "sampled validation", FULL_VALIDATION: "validation"}
"""What the page calls them where evaluations scored a sample."""


def header(reading: RoundReading) -> str:
    """Name, goal, state and counts."""
    record, status, total = reading.record, reading.status, reading.summary.total
    state = status.state if status else "not started"
    facts = [f"{total.num_ended:,} of {total.planned:,} trials ended", counts_text(total)]
    if status and state != "finished":
        seen = datetime.fromtimestamp(status.seen_at_s, UTC)
        facts.append(f"as of {seen:%Y-%m-%d %H:%M} UTC")
    reason = f'<p class="note">{escape(status.reason)}</p>' if status and status.reason else ""
    return (
        f'<header><h1>{escape(record.name)}</h1><p class="goal">{escape(record.goal)}</p>'
        f'<p class="facts"><span class="badge {escape(state.replace(" ", "-"))}">{escape(state)}</span> '
        f"{escape(' · '.join(facts))}</p>{reason}</header>"
    )


def answer(reading: RoundReading, colours: Colours, metrics: Mapping[TrialId, Mapping[Evaluation, float]]) -> str:
    """The best trial of every scientific value, side by side (rules SD8, SD13, IN13, IN20)."""
    summary = reading.summary
    measured = {trial.id: metrics.get(trial.id, {}) for arm in reading.arms if (trial := arm.best)}
    on_all = (FULL_VALIDATION, summary.objective.metric)  # where evaluations scored a sample (rule EV8)
    is_on_all = any(on_all in found for found in measured.values())
    judged_by = on_all if is_on_all else (summary.objective.split, summary.objective.metric)
    others = list(dict.fromkeys(name for found in measured.values() for name in found if name != judged_by))
    names = reading.scientific or ["study"]
    numbers = [
        summary.objective.name,
        *(["behind best"] if len(summary.arms) > 1 else []),
        "at step",
        *reading.varied,
        *(f"{_SPLITS.get(split, split) if is_on_all else split} {metric}" for split, metric in others),
        "time/step",
        "time",
        "parameters",
    ]
    heads = [*map(head, names), *(head(name, "number") for name in numbers), head("trial"), head("trials", "number")]
    rows = "".join(_answer_row(reading, arm, colours, measured, others) for arm in reading.arms)
    num_hidden = len(summary.arms) - len(reading.arms)
    hidden = f" {num_hidden} worse combinations of scientific values are not shown." if num_hidden else ""
    notes = [imbalance.sentence for imbalance in summary.imbalances]
    return section(
        "answer",
        "Best trial per scientific value" if reading.scientific else "Best trial",
        f'<p class="lead">{_conclusion(reading)}</p>'
        f'<div class="scroll"><table class="compact"><thead><tr>{"".join(heads)}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        f'<p class="note">Judged by the {escape(objective_text(summary.objective))}. Other metrics are those at that '
        "step. Nuisance hyperparameters are optimized away: each row is the best of the trials with its values."
        f"{hidden}</p>" + "".join(f'<p class="warning">{escape(note)}</p>' for note in notes),
    )


def _conclusion(reading: RoundReading) -> str:
    best, objective = reading.summary.best, reading.objective
    if best is None or best.best is None:
        return f"No trial has been completed: {escape(counts_text(reading.summary.total))}."
    extreme = "Lowest" if objective.goal == "minimize" else "Highest"
    so_far = "" if reading.summary.total.unfinished == 0 else " so far"
    where = f" with <strong>{escape(values_text(best.arm))}</strong>" if best.arm else ""
    return (
        f"{extreme} {escape(objective.name)}{so_far}: <strong>{number_text(best.best.objective)}</strong>{where} "
        f"(trial {trial_link(best.best)})."
    )


def _answer_row(
    reading: RoundReading,
    arm: ArmResult,
    colours: Colours,
    measured: Mapping[TrialId, Mapping[Evaluation, float]],
    others: Sequence[Evaluation],
) -> str:
    names = [value_text(arm.arm[name]) if name in arm.arm else ABSENT for name in reading.scientific] or [arm.study]
    cells = [f"<td>{chip(arm.study, colours)}{escape(names[0])}</td>", *(cell(name) for name in names[1:])]
    trial = arm.best
    if trial is None:
        num_rest = len(reading.varied) + len(others) + (7 if len(reading.summary.arms) > 1 else 6)
        cells.append(f'<td colspan="{num_rest}" class="absent">no completed trial</td>')
    else:
        found = measured[trial.id]
        cells.append(f'<td class="number main">{number_text(trial.objective)}</td>')
        if len(reading.summary.arms) > 1:
            cells.append(cell(_behind(reading, trial), "number"))
        training = trial.training
        per_step = training.train_s / training.num_steps if training and training.num_steps else None
        cells += [
            cell(step_text(trial), "number"),
            *(cell(trial_value(trial, name), "number") for name in reading.varied),
            *(cell(number_text(found.get(name)), "number") for name in others),
            cell(duration_text(per_step), "number"),
            cell(duration_text(training.train_s if training else None), "number"),
            cell(count_text(training.num_parameters if training else None), "number"),
            f"<td>{trial_link(trial)}</td>",
        ]
    cells.append(f'<td class="number" title="{escape(counts_text(arm.counts))}">{arm.counts.num_ended:,}</td>')
    kind = "best" if reading.summary.best is arm else ""
    return f'<tr class="{kind}">{"".join(cells)}</tr>'


def _behind(reading: RoundReading, trial: Trial) -> str:
    best = reading.summary.best.best if reading.summary.best else None
    if best is None or best is trial or best.objective is None or trial.objective is None:
        return ABSENT
    return f"{trial.objective - best.objective:+.2g}"


def warnings(reading: RoundReading) -> str:
    """The rules of thumb that the round goes against."""
    if not reading.record.warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in reading.record.warnings)
    return section("warnings", "Warnings", f'<ul class="warning">{items}</ul>')


def caveats(reading: RoundReading) -> str:
    """What every conclusion is bound to (rule SD3), and what was searched."""
    fixed = "".join(f"<li><code>{escape(caveat)}</code></li>" for caveat in reading.summary.caveats)
    spaces = {name: kind for study in reading.studies for name, kind in study.space.items()}
    choices = {
        name: ", ".join(
            dict.fromkeys(
                value_text(arm[name]) for study in reading.studies for arm in (study.arm, *study.arms) if name in arm
            )
        )
        for name in reading.scientific
    }
    reasons = reading.record.reasons
    rows = "".join(
        row(
            name, role, choices.get(name) or (range_text(spaces[name]) if name in spaces else ""), reasons.get(name, "")
        )
        for name, role in reading.record.roles.items()
        if role != "fixed"
    )
    heads = "".join(
        head(name) for name in ("hyperparameter", "role", "values", "reason for the role" if reasons else "")
    )
    searched = (
        f'<div class="scroll"><table class="space"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        if rows
        else ""
    )
    num_fixed = len(reading.summary.caveats)
    listed = (
        f"<details><summary>{num_fixed} fixed hyperparameters, to whose values every conclusion is bound</summary>"
        f'<ul class="columns">{fixed}</ul></details>'
        if num_fixed
        else "<p>No hyperparameter was fixed.</p>"
    )
    return section("caveats", "Caveats and search space", listed + searched)
