"""A study: one search space explored by one sequence of points, "a set of hyperparameter configurations"."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, TypeAlias

from pydantic import Field

from raytune_playbook.study.datasets import InputPipeline
from raytune_playbook.study.fingerprints import study_fingerprint
from raytune_playbook.study.frozen import FrozenSpec, Value
from raytune_playbook.study.hyperparameters.hyperparameter import Hyperparameter
from raytune_playbook.study.hyperparameters.space import active, num_points
from raytune_playbook.study.settings import Objective

Search: TypeAlias = Literal["halton", "random", "grid"]
"""How points are chosen: the scrambled Halton sequence (rule QR1), or one of its substitutes (rule QR7)."""


class WorkloadSpec(FrozenSpec):
    """Which workload a study trains, as far as JSON can tell.

    Fields:
        module, name: where its class lives.
        settings: what its constructor was given.
        source_hash: a hash of its source file, so that a result is bound to the code that made it.
        code_hash: a hash of what of that file trains (`training_code`); empty in records of older versions.
    """

    module: str
    name: str
    settings: dict[str, Value]
    source_hash: str
    code_hash: str = ""


class StudySpec(FrozenSpec):
    """One study of a round; with an index it determines a trial completely.

    Fields:
        name: unique within the round, such as ``batch_norm=sync``.
        arm: the scientific values that set this study apart from the round's others.
        arms: the combinations of scientific values that one joint study samples evenly (rule SD6); else empty.
        space: the varied hyperparameters in the order of the search's dimensions.
        sets: which of the workload's hyperparameters a qualified one sets, such as ``adam.learning_rate`` ->
            ``learning_rate``.
        fixed: the values of all others, the workload's defaults included; None for those that do not exist here.
        search: how points are chosen.
        grid: values per dimension of a grid, in the space's order; else empty.
        configurations: the points themselves, where they were listed (rule SD7); else empty.
        seed: of the search and of every random stream.
        num_trials: points 0..num_trials - 1 are run; not part of the fingerprint, for more points change none.
        target: see `Budget`.
        input_pipeline: how the examples reach the workers, where the round says it; None for "auto".
        num_workers, threads_per_worker: what bits depend on beside the values (DESIGN decision 3).
    """

    name: str
    arm: dict[str, Value]
    arms: tuple[dict[str, Value], ...] = ()
    space: dict[str, Hyperparameter]
    sets: dict[str, str] = Field(default_factory=dict)
    fixed: dict[str, Value]
    search: Search = "halton"
    grid: tuple[int, ...] = ()
    configurations: tuple[dict[str, Value], ...] = ()
    seed: int
    num_trials: int = Field(gt=0)
    objective: Objective
    max_train_steps: int
    evaluation_interval_steps: int
    divergence_factor: float
    target: float | None = None
    workload: WorkloadSpec
    input_pipeline: InputPipeline | None = None
    num_workers: int
    threads_per_worker: int

    @property
    def num_points(self) -> int | None:
        """How many different trials there can be; None where that is no limit."""
        if self.configurations:
            return len(self.configurations) * max(1, len(self.arms))
        if self.grid:
            return math.prod(self.grid)
        if not self.arms:
            return num_points(self.space)
        of_arms = self.num_points_of_arms
        return None if None in of_arms else sum(number or 0 for number in of_arms)

    @cached_property
    def num_points_of_arms(self) -> list[int | None]:
        """The same for each arm of a joint study."""
        return [num_points(active(self.space, arm)) for arm in self.arms]

    @property
    def fingerprint(self) -> str:
        """Equal for two studies exactly when their trials are: the objective may be changed after the fact (QR5)."""
        fields = self.model_dump(mode="json")
        workload = self.workload
        return study_fingerprint(fields, self.fixed, fields["space"], workload.name, workload.settings)
