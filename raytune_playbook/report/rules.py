"""The rules of the playbook for someone who does not know them by their IDs: a sentence first, and where to read on."""

from __future__ import annotations

import re
from dataclasses import dataclass

PLAYBOOK_URL = "https://github.com/google-research/tuning_playbook"

_BATCH = "Choosing the batch size"
_RETUNING = "Changing the batch size requires re-tuning most hyperparameters"
_ROLES = "Identifying scientific, nuisance, and fixed hyperparameters"
_BALANCE = "Striking a balance between informative and affordable experiments"
_INSIGHT = "Extracting insight from experimental results"
_BOUNDARIES = "Identifying bad search space boundaries"
_POINTS = "Not sampling enough points in the search space"
_CURVES = "Examining the training curves"
_ISOLATION = "Detecting whether a change is useful with isolation plots"
_ADOPT = "Determining whether to adopt a training pipeline change or hyperparameter configuration"
_STEPS = "Determining the number of steps for each training run"
_EVALUATION = "Evaluating model performance"
_SAMPLE = "Choosing a sample for periodic evaluation"
_UNSTABLE = "How can optimization failures be debugged and mitigated?"
_ADAM = "How should Adam's hyperparameters be tuned?"
_QUASI_RANDOM = (
    "Why use quasi-random search instead of more sophisticated black box optimization algorithms during the "
    "exploration phase of tuning?"
)

_SECTIONS = (
    {
        "AD2": _ADOPT,
        "AD6": _ADOPT,
        "BA7": _BATCH,
        "BA8": _RETUNING,
        "CK3": "Saving checkpoints and retrospectively selecting the best checkpoint",
        "CK4": _QUASI_RANDOM,
        "EV5": _SAMPLE,
        "EV6": _SAMPLE,
        "EV7": _EVALUATION,
        "IN1": _BOUNDARIES,
        "IN2": _POINTS,
        "IN3": _BOUNDARIES,
        "IN4": _UNSTABLE,
        "IN11": _BOUNDARIES,
        "IN12": _ISOLATION,
        "IN14": _STEPS,
        "IN15": _INSIGHT,
        "IN16": _INSIGHT,
        "IN17": "Automate generically useful plots",
        "IN18": _INSIGHT,
        "IN19": "After exploration concludes",
        "IN20": _ADOPT,
        "LN1": _STEPS,
        "LN7": _STEPS,
        "PI1": "Optimizing the input pipeline",
        "SD1": "Choosing the goal for the next round of experiments",
        "SD3": _ROLES,
        "SD4": _ROLES,
        "SD8": _ISOLATION,
        "SD9": _BALANCE,
        "SD10": _ADAM,
        "SD12": "Designing the next round of experiments",
        "SD13": _ROLES,
    }
    | {f"IN{number}": _CURVES for number in range(5, 11)}
    | {f"UN{number}": _UNSTABLE for number in range(1, 11)}
)
"""By rule the section of the playbook that it comes from."""

_RULE = re.compile(r"([A-Z]{2}\d+): (.+)", re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A section of the playbook, by its heading."""

    title: str

    @property
    def url(self) -> str:
        """Where to read it; a heading's anchor is its words in small letters."""
        words = re.sub(r"[^\w\- ]", "", self.title.lower())
        return f"{PLAYBOOK_URL}#{words.replace(' ', '-')}"


def section_of(rule: str) -> Section | None:
    """Where the playbook says what a rule asks; None for a rule that has no section of its own."""
    return Section(_SECTIONS[rule]) if rule in _SECTIONS else None


def explained(finding: str) -> str:
    """A finding as a user reads it: the ID that it begins with goes to its end, with where to read on."""
    if (found := _RULE.fullmatch(finding)) is None:
        return finding
    rule, sentence = found.groups()
    section = f'the playbook\'s "{_SECTIONS[rule]}", ' if rule in _SECTIONS else ""
    return f"{sentence.removesuffix('.')} ({section}rule {rule})."
