"""Whose checkpoints are kept where not all have room (``Budget.max_checkpoint_gib``): a function of records alone."""

from __future__ import annotations

from collections.abc import Iterable

from raytune_playbook.analysis.judging.best import best_of_each_study, worth_showing
from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import Outcome
from raytune_playbook.study.settings import Objective


def to_delete(trials: Iterable[Trial], objective: Objective, capacity_bytes: int) -> list[Trial]:
    """The trials that have ended and whose checkpoints have no room, the worst last.

    The best trial of each study keeps its checkpoints whatever they take. Of the others the best do, up to the first
    that has no room; retrainings come after them, and then what did not complete. Each counts with the most that it
    may keep, which is the same for all of a study unless its points differ in size. So it makes no difference in which
    order trials end: whoever is among those that are kept in the end is among them at any time before.

    Args:
        trials: of a round, those included whose checkpoints were deleted before.
        capacity_bytes: the room for all.
    """
    ended = [trial for trial in trials if trial.outcome is not None]
    largest = max((trial.checkpoint_bytes or 0 for trial in ended), default=0)
    ended.sort(key=lambda trial: (trial.outcome != Outcome.COMPLETED, trial.study, trial.index, trial.repeat))
    num_always = len(best_of_each_study(ended, objective))
    order = worth_showing(ended, objective, len(ended))
    num_kept = taken_bytes = 0
    for place, trial in enumerate(order):
        taken_bytes += largest if trial.checkpoint_bytes is None else trial.checkpoint_bytes
        if place >= num_always and taken_bytes > capacity_bytes:
            break
        num_kept += 1
    return [trial for trial in order[num_kept:] if not trial.checkpoints_deleted and trial.checkpoint_bytes != 0]
