"""What the checkpoints of a round take of its storage; pure functions of their sizes and the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from raytune_playbook.study.settings import GIB, Budget

BYTES_OF_STEP = 64
"""What a checkpoint holds of the measurements of each training step."""


@dataclass(frozen=True)
class CheckpointSize:
    """The files of one checkpoint of a trial.

    Fields:
        model_bytes: of the weights, which every checkpoint that is kept has.
        training_bytes: of what training goes on from beside them, which the latest has.
    """

    model_bytes: int
    training_bytes: int

    def after(self, num_steps: int) -> CheckpointSize:
        """The same after so many steps more, whose measurements the checkpoint holds as well."""
        return CheckpointSize(self.model_bytes, self.training_bytes + BYTES_OF_STEP * num_steps)

    def kept_bytes(self, budget: Budget) -> int:
        """The most that a trial keeps: its best few checkpoints, its latest, and those that are kept whole."""
        whole_bytes = len(budget.whole_checkpoints) * (self.model_bytes + self.training_bytes)
        num_models = min(budget.num_best_checkpoints + 1, _num_checkpoints(budget))
        return num_models * self.model_bytes + self.training_bytes + whole_bytes

    def peak_bytes(self, budget: Budget) -> int:
        """The most that a trial takes while it runs: the next checkpoint is written before another goes."""
        return self.kept_bytes(budget) + self.model_bytes + self.training_bytes


def _num_checkpoints(budget: Budget) -> int:
    """How many a trial writes: before the first step, at every interval, and at its end."""
    interval = budget.checkpoint_interval_steps or budget.evaluation_interval_steps
    return 1 + math.ceil(budget.max_train_steps / interval)


@dataclass(frozen=True)
class DiskPrice:
    """What the checkpoints of the trials that are left take, at most.

    Fields:
        trials: by study, how many are left and what each keeps.
        first_bytes: what the best trial of each study keeps, in all studies of the round.
        running_bytes: what those take that run at once.
        writing_bytes: the part of that which goes when they end.
    """

    trials: Mapping[str, tuple[int, int]]
    first_bytes: int
    running_bytes: int
    writing_bytes: int

    @property
    def kept_bytes(self) -> int:
        """What all of them keep."""
        return sum(num * each_bytes for num, each_bytes in self.trials.values())

    def most_bytes(self, max_checkpoint_gib: float | None) -> int:
        """What they take of the storage when the last ones run, or the limit where that is less."""
        most_bytes = self.kept_bytes + self.writing_bytes
        return most_bytes if max_checkpoint_gib is None else min(most_bytes, int(max_checkpoint_gib * GIB))


def disk_price(
    sizes: Mapping[str, CheckpointSize], num_left: Mapping[str, int], budget: Budget, num_gangs: int
) -> DiskPrice | None:
    """The price of what is left of a round.

    Args:
        sizes: by study, of a checkpoint at a trial's end; of a study that has none, the largest counts.
        num_left: by study, of all studies of the round, how many trials are left.
        num_gangs: how many trials run at once.

    Returns:
        None where no size is known.
    """
    if not sizes:
        return None
    largest = max(sizes.values(), key=lambda size: size.peak_bytes(budget))
    num_running = min(num_gangs, sum(num_left.values()))
    kept = {study: sizes.get(study, largest).kept_bytes(budget) for study in num_left}
    return DiskPrice(
        trials={study: (num, kept[study]) for study, num in num_left.items()},
        first_bytes=sum(kept.values()),
        running_bytes=num_running * largest.peak_bytes(budget),
        writing_bytes=num_running * (largest.peak_bytes(budget) - largest.kept_bytes(budget)),
    )
