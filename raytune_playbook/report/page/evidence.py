"""The page's evidence as HTML: places for plots, the table of all trials, and how to get the same numbers again.

Every text that comes from a record passes through `html.escape`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from raytune_playbook.analysis.input_pipeline import step_time
from raytune_playbook.analysis.trials import Trial, TrialId
from raytune_playbook.report.figures import Colours, trial_name
from raytune_playbook.report.formatting import (
    ABSENT,
    arm_text,
    count_text,
    duration_text,
    number_text,
    value_text,
    values_text,
)
from raytune_playbook.report.page.markup import chip, section, sortable, step_text, trial_value
from raytune_playbook.report.reading import RoundReading
from raytune_playbook.study.frozen import Value


def plots_nav(reading: RoundReading, colours: Colours) -> str:
    """One legend for all plots and the table: a click hides or shows a study."""
    if len(reading.studies) < 2:
        return ""
    chips = "".join(
        f'<button type="button" class="study" data-study="{escape(study.name)}" aria-pressed="true">'
        f"{chip(study.name, colours)}{escape(arm_text(study.arm, study.name))}</button>"
        for study in reading.studies
    )
    return f'<nav class="legend" aria-label="Studies shown">{chips}</nav>'


def axis_plots(names: Sequence[str]) -> str:
    """Places for the hyperparameter axis plots (rule IN11)."""
    if not names:
        return ""
    return section(
        "axes",
        "Hyperparameter axis plots",
        '<p class="note">One point per trial; the ring is the best of its study. Crosses at the top are infeasible '
        "trials, which have no value. The best points should lie well inside each range.</p>" + _plots(names),
    )


def curve_plots(names: Sequence[tuple[str, str]], *, num_best: int | None, num_shown: int, num_trials: int) -> str:
    """Places for the training curves (rule IN5).

    Args:
        names: the figures' names and titles.
        num_best: trials of each study that are shown at first; None where none was completed, and all are shown.
        num_shown: trials whose curves the page holds.
        num_trials: of the round.
    """
    if not names:
        return ""
    left_out = (
        f" The page holds the curves of {num_shown:,} of {num_trials:,} trials, the best ones; the records hold all."
        if num_shown < num_trials
        else ""
    )
    all_label = "All trials" if num_shown == num_trials else f"Best {num_shown:,} trials"
    switch = (
        '<p class="switch" role="group"><button type="button" data-curves="best" aria-pressed="true">'
        f"Best {num_best} of each study</button>"
        f'<button type="button" data-curves="all" aria-pressed="false">{escape(all_label)}</button></p>'
        if num_best is not None
        else ""
    )
    places = "".join(
        f'<figure><figcaption>{escape(title)}</figcaption><div class="plot" id="{escape(name)}"></div></figure>'
        for name, title in names
    )
    return section(
        "curves",
        "Training curves",
        f'{switch}<p class="note">Solid: validation. Dashed: training. The thick line is the best trial of its study, '
        f"the dot its best step. Long curves are thinned; their spikes stay.{left_out}</p>"
        f'<div class="plots">{places}</div>',
    )


def _plots(names: Sequence[str]) -> str:
    places = "".join(f'<div class="plot" id="{escape(name)}"></div>' for name in names)
    return f'<div class="plots">{places}</div>'


def trials_table(reading: RoundReading, colours: Colours, logs: Mapping[TrialId, Sequence[str]]) -> str:
    """Every trial, sortable."""
    numbers = [reading.objective.name, "at step", *reading.varied, "time", "waiting for input", "attempts"]
    heads = [(name, "") for name in (", ".join(reading.scientific) or "study", "trial", "outcome")]
    heads += [*((name, "number") for name in numbers), ("reason", ""), ("log", "")]
    head = "".join(f'<th class="{kind}"><button type="button">{escape(name)}</button></th>' for name, kind in heads)
    arms = {
        study.name: ", ".join(value_text(value) for value in study.arm.values()) or study.name
        for study in reading.studies
    }
    rows = "".join(
        _trial_row(trial, reading.varied, f"{chip(trial.study, colours)}{escape(arms[trial.study])}", logs)
        for trial in reading.trials
    )
    return section(
        "trials",
        "All trials",
        f'<div class="scroll tall"><table class="sortable"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>",
    )


def _trial_row(trial: Trial, varied: Sequence[str], study: str, logs: Mapping[TrialId, Sequence[str]]) -> str:
    outcome = trial.outcome or "unfinished"
    values = "".join(sortable(trial_value(trial, name), trial.values.get(name)) for name in varied)
    time = step_time([trial])
    share = time.input_share if time else None
    train_s = trial.training.train_s if trial.training else None
    return (
        f'<tr id="{escape(trial_name(trial.id))}" data-study="{escape(trial.study)}"><td>{study}</td>'
        f"<td>{trial.key}</td>"
        f'<td><span class="badge {outcome}">{outcome}</span></td>'
        f"{sortable(number_text(trial.objective), trial.objective)}"
        f"{sortable(step_text(trial), trial.best_step)}{values}"
        f"{sortable(duration_text(train_s), train_s)}"
        f"{sortable(ABSENT if share is None else f'{share:.0%}', share)}"
        f"{sortable(str(len(trial.attempts)), len(trial.attempts))}"
        f'<td class="reason">{_reason(trial)}</td><td class="log">{_log_links(logs.get(trial.id, ()))}</td></tr>'
    )


def _reason(trial: Trial) -> str:
    reason = escape(trial.reason or "")
    traceback = trial.last_traceback
    if traceback is None:
        return reason
    last_line = traceback.strip().rpartition("\n")[2]
    return f"{reason}<details><summary>{escape(last_line)}</summary><pre>{escape(traceback)}</pre></details>"


def _log_links(files: Sequence[str]) -> str:
    """Links relative to the page, each named by its attempt and rank."""
    return " ".join(
        f'<a href="../{escape(quote(file))}" title="{escape(file)}">{escape(_log_name(file))}</a>' for file in files
    )


def _log_name(file: str) -> str:
    return ".".join(file.rsplit(".", 3)[1:3])


def hover_text(trial: Trial, arm: Mapping[str, Value], reading: RoundReading) -> str:
    """What a plot shows of a trial when one points at it; plotly understands ``<b>`` and ``<br>``."""
    lines = [f"<b>{trial.key}</b> {escape(values_text(arm) or trial.study)}"]
    if trial.objective is not None:
        best = f"{reading.objective.name} {number_text(trial.objective)} at step {count_text(trial.best_step)}"
        lines.append(escape(best))
    lines += [escape(f"{name} = {trial_value(trial, name)}") for name in reading.varied]
    if trial.outcome != "completed":
        failure = (trial.last_traceback or "").strip().rpartition("\n")[2]
        words = f"{trial.outcome or 'unfinished'}: {trial.reason or failure}"
        lines += [escape(line) for line in textwrap.wrap(words, 60)[:4]]
    return "<br>".join(lines)


def reproduction(reading: RoundReading, notes: str) -> str:
    """How to get the same numbers again, and on what they depend."""
    record = reading.record
    commit = escape(record.commit or "not under version control")
    if record.uncommitted:
        commit += ' with uncommitted changes: <a href="../uncommitted.diff">uncommitted.diff</a>'
    machines = dict.fromkeys(_machine_text(trial) for trial in reading.trials if trial.machine.torch)
    settings = values_text(record.workload.settings)
    budget = (
        f"{record.budget.num_trials:,} trials of {record.budget.max_train_steps:,} steps, an evaluation every "
        f"{record.budget.evaluation_interval_steps:,}"
    )
    facts = [
        ("commit", commit),
        ("workload", escape(f"{record.workload.module}.{record.workload.name}({settings})")),
        ("workload's source", f"<code>{escape(record.workload.source_hash)}</code>"),
        ("job file", escape(record.job or "none, a round of the Python API")),
        ("budget", escape(budget)),
        ("workers per trial", escape(str(record.resources.num_workers))),
        ("seed", escape(str(record.seed))),
        ("versions", escape(", ".join(f"{name} {version}" for name, version in sorted(record.versions.items())))),
        ("machines", "<br>".join(escape(machine) for machine in machines) or ABSENT),
        ("round's fingerprint", f"<code>{escape(record.fingerprint)}</code>"),
        *((f"fingerprint of {escape(s.name)}", f"<code>{escape(s.fingerprint)}</code>") for s in reading.studies),
        ("created", escape(record.created_at)),
    ]
    rows = "".join(f"<dt>{name}</dt><dd>{fact}</dd>" for name, fact in facts)
    written = f"<h3>Notes</h3><pre>{escape(notes.strip())}</pre>" if notes.strip() else ""
    return section(
        "reproduce",
        "How to reproduce it",
        f'<div class="command"><pre>{escape(record.command)}</pre><button type="button" id="copy">Copy</button></div>'
        f"<dl>{rows}</dl>{written}",
    )


def _machine_text(trial: Trial) -> str:
    machine = trial.machine
    workers = f"{machine.num_workers} x {machine.threads_per_worker} threads"
    return f"torch {machine.torch}, {machine.cpu_capability}, {machine.device}, {workers}"
