"""The rules of the playbook for someone who does not know them by their IDs: a sentence first, and where to read on."""

from __future__ import annotations

import re

_SECTIONS = {
    "AD6": "Determining whether to adopt a training pipeline change or hyperparameter configuration",
    "BA7": "Choosing the batch size",
    "CK3": "Saving checkpoints and retrospectively selecting the best checkpoint",
    "EV5": "Choosing a sample for periodic evaluation",
    "IN10": "Examining the training curves",
    "PI1": "Optimizing the input pipeline",
    "SD1": "Choosing the goal for the next round of experiments",
    "SD4": "Identifying scientific, nuisance, and fixed hyperparameters",
    "SD9": "Striking a balance between informative and affordable experiments",
    "SD10": "How should Adam's hyperparameters be tuned?",
}
"""By rule the section of the playbook that it comes from."""

_RULE = re.compile(r"([A-Z]{2}\d+): (.+)", re.DOTALL)


def explained(finding: str) -> str:
    """A finding as a user reads it: the ID that it begins with goes to its end, with where to read on."""
    if (found := _RULE.fullmatch(finding)) is None:
        return finding
    rule, sentence = found.groups()
    section = f'the playbook\'s "{_SECTIONS[rule]}", ' if rule in _SECTIONS else ""
    return f"{sentence.removesuffix('.')} ({section}rule {rule})."
