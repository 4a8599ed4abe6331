"""What was measured of the batch sizes of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from raytune_playbook.analysis.input_pipeline import InputBound
from raytune_playbook.procedures.batch_size.scaling import StepScaling
from raytune_playbook.procedures.batch_size.throughput import Bottleneck, Scaling, StepTimes
from raytune_playbook.study.frozen import Value


class Ended(StrEnum):
    """Why the batch was not doubled any further."""

    MEMORY = "memory"
    TRAINING_SET = "training set"
    MAX = "max"
    DECLARED = "declared"


@dataclass(frozen=True)
class Measured:
    """The sizes that fit, and what ended the doubling.

    Fields:
        sizes: those that fit, in rising order.
        reason: the trial's, where memory or the workload ended it.
        next_size: the first one that was not trained.
        num_examples: of the training set.
        input_bound: of the sizes whose training waits for its input, by size.
    """

    sizes: tuple[StepTimes, ...]
    ended: Ended
    reason: str
    next_size: int
    num_examples: int
    input_bound: Mapping[int, InputBound]

    @property
    def bottleneck(self) -> Bottleneck | None:
        """What ends the doubling of the throughput; a worker that waits for its batches makes the others wait for it,
        which is no fault of theirs."""
        found = Scaling(self.sizes).bottleneck
        if found is not None and found.part == "synchronization" and found.larger in self.input_bound:
            return replace(found, part="input")
        return found


@dataclass(frozen=True)
class Proof:
    """That a size fits fresh workers.

    Fields:
        arms: the scientific values that were trained and evaluated.
        peak_memory_bytes: the most that a worker took; None where that is not known.
        given_up: why larger sizes were not taken, by size.
    """

    size: int
    arms: tuple[Mapping[str, Value], ...]
    peak_memory_bytes: int | None
    given_up: Mapping[int, str]


@dataclass(frozen=True)
class ToTarget:
    """The steps to a target.

    Fields:
        target: of the objective.
        scaling: by size.
        at_end_of_range: hyperparameters of the fastest trial that lie at an end of their range, by size: with a wider
            one it might take fewer steps.
        schedule: the job's, where its learning rate decays and was kept constant here; else None.
        max_train_steps: that each trial could take.
    """

    target: float
    scaling: StepScaling
    at_end_of_range: Mapping[int, tuple[str, ...]]
    schedule: str | None
    max_train_steps: int
