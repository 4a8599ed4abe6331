"""The rules of the playbook for someone who does not know them by their IDs: a sentence first, and where to read on."""

from __future__ import annotations

import re
from dataclasses import dataclass

PLAYBOOK_URL = "https://github.com/google-research/tuning_playbook"

_SPACE = "Identifying bad search space boundaries"
_CURVES = "Examining the training curves"
_INSIGHT = "Extracting insight from experimental results"
_ROLES = "Identifying scientific, nuisance, and fixed hyperparameters"
_STEPS = "Determining the number of steps for each training run"
_UNSTABLE = "How can optimization failures be debugged and mitigated?"

_SECTIONS = {
    "AD1": "Determining whether to adopt a training pipeline change or hyperparameter configuration",
    "AD2": "Determining whether to adopt a training pipeline change or hyperparameter configuration",
    "AD6": "Determining whether to adopt a training pipeline change or hyperparameter configuration",
    "BA7": "Choosing the batch size",
    "BA8": "Determining the feasible batch sizes and estimating training throughput",
    "CK3": "Saving checkpoints and retrospectively selecting the best checkpoint",
    "CK4": "Why use quasi-random search instead of more sophisticated black box optimization algorithms during the "
    "exploration phase of tuning?",
    "EV5": "Choosing a sample for periodic evaluation",
    "EV6": "Choosing a sample for periodic evaluation",
    "IN1": _SPACE,
    "IN2": "Not sampling enough points in the search space",
    "IN3": _INSIGHT,
    "IN4": _UNSTABLE,
    "IN5": _CURVES,
    "IN6": _CURVES,
    "IN7": _CURVES,
    "IN8": _CURVES,
    "IN9": _CURVES,
    "IN10": "Setting up periodic evaluations",
    "IN11": _SPACE,
    "IN12": "Detecting whether a change is useful with isolation plots",
    "IN13": _SPACE,
    "IN14": "Deciding how long to train when training is not compute-bound",
    "IN15": _INSIGHT,
    "IN16": _INSIGHT,
    "IN18": _INSIGHT,
    "IN19": "Exploration vs exploitation",
    "IN20": _ROLES,
    "LN1": _STEPS,
    "LN7": _STEPS,
    "PI1": "Optimizing the input pipeline",
    "QR9": "After exploration concludes",
    "SD1": "Choosing the goal for the next round of experiments",
    "SD2": _ROLES,
    "SD3": _ROLES,
    "SD4": _ROLES,
    "SD5": _ROLES,
    "SD8": "Creating a set of studies",
    "SD9": "Striking a balance between informative and affordable experiments",
    "SD10": "How should Adam's hyperparameters be tuned?",
    "SD12": "Creating a set of studies",
    "SD13": "Striking a balance between informative and affordable experiments",
    "TR1": "Experiment tracking",
    "UN1": "Identifying unstable workloads",
    "UN2": "Identifying unstable workloads",
    "UN3": "Identifying unstable workloads",
    "UN4": "Learning rate warmup",
    "UN5": "Learning rate warmup",
    "UN6": "Gradient clipping",
    "UN7": "Gradient clipping",
    "UN8": "Potential fixes for common instability patterns",
    "UN10": "Identifying unstable workloads",
}
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
    section = f'the playbook\'s "{found_in.title}", ' if (found_in := section_of(rule)) else ""
    return f"{sentence.removesuffix('.')} ({section}rule {rule})."
