"""What the check before trial 0 has measured of each study, and what a trial will take by that; pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from raytune_playbook.engine.gang.messages import AttemptEnd
from raytune_playbook.study.checks.disk_price import CheckpointSize, DiskPrice
from raytune_playbook.study.settings import Budget
from raytune_playbook.study.trial import TrialSpec


@dataclass(frozen=True)
class Tried:
    """What came of the check of one study.

    Fields:
        spec: the last of its points that was trained.
        ended: how that did.
        took_s: from asking for that until then.
        had_workers: whether they were there all the while, and none was started.
        infeasible: why, by what the terminal calls the trial, of those before it and of itself.
    """

    spec: TrialSpec
    ended: AttemptEnd
    took_s: float
    had_workers: bool
    infeasible: Mapping[str, str]

    @property
    def beside_s(self) -> float | None:
        """What it took beside its training, which a trial's own clock does not see; None where workers started."""
        end = self.ended.end
        return max(0.0, self.took_s - end.training.train_s) if end is not None and self.had_workers else None

    def training_s(self, budget: Budget) -> float | None:
        """What a whole trial will train for; None where the check did not come so far."""
        end = self.ended.end
        if end is None or end.step_s is None or (evaluations_s := end.training.evaluations_s) is None:
            return None
        training = end.training
        steps_s = 0.0 if training.time_by_part is None else training.time_by_part.total_s
        num_evaluations = 1 + -(-budget.max_train_steps // budget.evaluation_interval_steps)
        # Its two evaluations as they came: a trial's later ones, which are faster than the first, keep checkpoints.
        start_s = max(0.0, training.train_s - steps_s - evaluations_s)
        return start_s + end.step_s * budget.max_train_steps + evaluations_s / 2 * num_evaluations


@dataclass(frozen=True)
class Estimates:
    """What the trials that are left will take, by what the check before trial 0 has measured.

    Fields:
        trials_s: seconds of each by study, of those whose check gave them.
        disk: what their checkpoints take; None where that is not known.
    """

    trials_s: Mapping[str, float] = field(default_factory=dict)
    disk: DiskPrice | None = None


def checkpoint_sizes(tried: Sequence[Tried], budget: Budget) -> dict[str, CheckpointSize]:
    """The checkpoint of a trial's end by study, of those whose check came to its end."""
    ends = {each.spec.study: end for each in tried if (end := each.ended.end) is not None}
    return {
        study: end.checkpoint.after(budget.max_train_steps - end.training.num_steps)
        for study, end in ends.items()
        if end.checkpoint is not None
    }


def estimates_s(tried: Sequence[Tried], budget: Budget) -> dict[str, float]:
    """A trial's seconds by study, of those whose check gave them, with what each takes beside its training."""
    beside_s = [each.beside_s for each in tried if each.beside_s is not None]
    trainings_s = {each.spec.study: each.training_s(budget) for each in tried}
    return {
        study: training_s + (fmean(beside_s) if beside_s else 0.0)
        for study, training_s in trainings_s.items()
        if training_s is not None
    }
