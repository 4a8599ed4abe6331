"""What several sections show of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.analysis.wording import ABSENT, count_text
from raytune_playbook.report.figures.style import trial_name
from raytune_playbook.study.wording import value_text


@dataclass(frozen=True)
class TrialLink:
    """Leads to a trial's own view.

    Fields:
        name: within the round.
        text: as commands take it, which is what one reads.
    """

    name: str
    text: str

    @property
    def href(self) -> str:
        return f"#trial={quote(self.name, safe='')}"


def trial_link(trial: Trial) -> TrialLink:
    """The link to a trial."""
    return TrialLink(trial_name(trial.id), trial.text)


def trial_value(trial: Trial, name: str) -> str:
    """A trial's value of a hyperparameter, which another study may have and this one not."""
    return value_text(trial.values[name]) if name in trial.values else ABSENT


def step_text(trial: Trial) -> str:
    """The best step, of how many were trained."""
    num_steps = trial.training.num_steps if trial.training else None
    if trial.best_step is None:
        return ABSENT if num_steps is None else f"{ABSENT} of {num_steps:,}"
    return f"{trial.best_step:,} of {count_text(num_steps)}"
