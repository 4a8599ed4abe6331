"""``raytune-playbook new``: a job file to start from."""

from __future__ import annotations

USUAL_LABELS = ("label", "labels", "target", "targets", "class", "y")
"""What a column of labels is usually called."""


def usual_labels_text() -> str:
    """The same for a sentence."""
    return f"{', '.join(USUAL_LABELS[:-1])} or {USUAL_LABELS[-1]}"
