"""What all trials of a round share: the workload's bytes and the examples in the object store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray.cloudpickle as cloudpickle

from raytune_playbook.study.profile_steps import ProfileSteps
from raytune_playbook.study.study import StudySpec

if TYPE_CHECKING:  # whoever holds a handle to the pool imports this, and need not wait for torch
    from raytune_playbook.data.examples import Examples
    from raytune_playbook.train.workload import Workload


@dataclass(frozen=True)
class RoundContext:
    """Sent to each worker once per round.

    Fields:
        round_id: unique in the session.
        uri: the round's folder in the storage; empty where nothing is recorded.
        workload: pickled with its code.
        examples: where its examples are.
        studies: by name.
        num_best_checkpoints, checkpoint_interval_steps, whole_checkpoints: as in `Budget`.
        profile: the steps of each study's trial 0 that a profiler traces (rule PI4); None for none.
        claim: the driver's claim on the round, in its folder, which names the round's id.
    """

    round_id: str
    uri: str
    workload: bytes
    examples: Examples
    studies: Mapping[str, StudySpec]
    num_best_checkpoints: int = 1
    checkpoint_interval_steps: int | None = None
    whole_checkpoints: tuple[int, ...] = ()
    profile: ProfileSteps | None = None
    claim: str = ""

    def load_workload(self) -> Workload:
        """A new object for each trial, so that no trial sees what another did to it."""
        workload: Workload = cloudpickle.loads(self.workload)
        return workload
