"""Small pieces of HTML that every section is made of; each escapes the texts that it is given."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.report.figures import SYMBOLS, Colours, trial_name
from raytune_playbook.report.formatting import ABSENT, count_text, value_text
from raytune_playbook.study.frozen import Value


def section(name: str, title: str, body: str) -> str:
    return f'<section id="{name}"><h2>{escape(title)}</h2>{body}</section>'


def chip(study: str, colours: Colours) -> str:
    colour, symbol = colours[study]
    return f'<i class="chip" style="color:{colour}">{SYMBOLS[symbol]}</i>'


def trial_link(trial: Trial) -> str:
    return f'<a href="#{escape(quote(trial_name(trial.id)))}">{trial.key}</a>'


def trial_value(trial: Trial, name: str) -> str:
    return value_text(trial.values[name]) if name in trial.values else ABSENT


def step_text(trial: Trial) -> str:
    """The best step, of how many were trained."""
    num_steps = trial.training.num_steps if trial.training else None
    if trial.best_step is None:
        return ABSENT if num_steps is None else f"{ABSENT} of {num_steps:,}"
    return f"{trial.best_step:,} of {count_text(num_steps)}"


def cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def sortable(text: str, value: Value) -> str:
    key = "" if value is None else f' data-value="{escape(str(value))}"'
    return f'<td class="number"{key}>{escape(text)}</td>'


def head(text: str, kind: str = "") -> str:
    """A column's head, which may break within a name."""
    words = escape(text).replace("_", "_<wbr>").replace("time/", "time/<wbr>")
    return f'<th class="{kind}">{words}</th>' if kind else f"<th>{words}</th>"


def row(*texts: str) -> str:
    return f"<tr>{''.join(cell(text) for text in texts)}</tr>"
