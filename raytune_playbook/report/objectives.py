"""What a page judges trials by, from what a command was told."""

from __future__ import annotations

from typing import Literal

from raytune_playbook.study.settings import Objective


def objective_of(
    own: Objective,
    *,
    metric: str | None = None,
    split: Literal["train", "validation"] | None = None,
    over: Literal["best", "last"] | None = None,
    goal: Literal["minimize", "maximize"] | None = None,
) -> Objective | None:
    """The objective that was asked for (rule QR5); what was not said of it is as in the round's own.

    Returns:
        None where nothing was said: the round's own.
    """
    said = {"metric": metric, "split": split, "over": over, "goal": goal}
    given = {name: value for name, value in said.items() if value is not None}
    return own.model_copy(update=given) if given else None
