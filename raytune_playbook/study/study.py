"""A study: one search space explored by one sequence of points, "a set of hyperparameter configurations"."""

from __future__ import annotations

from pydantic import Field

from raytune_playbook.study.hyperparameter import Hyperparameter
from raytune_playbook.study.spec import FrozenSpec, Objective, Value, fingerprint


class WorkloadSpec(FrozenSpec):
    """Which workload a study trains, as far as JSON can tell.

    Fields:
        module, name: where its class lives.
        settings: what its constructor was given.
        source_hash: a hash of its source file, so that a result is bound to the code that made it.
    """

    module: str
    name: str
    settings: dict[str, Value]
    source_hash: str


class StudySpec(FrozenSpec):
    """One study of a round; with an index it determines a trial completely.

    Fields:
        name: unique within the round, such as ``batch_norm=sync``.
        arm: the scientific values that set this study apart from the round's others.
        space: the varied hyperparameters in the order of the search's dimensions.
        fixed: the values of all others, the workload's defaults included.
        seed: of the search and of every random stream.
        num_trials: points 0..num_trials - 1 are run; not part of the fingerprint, for more points change none.
        num_workers, threads_per_worker: what bits depend on beside the values (DESIGN decision 3).
    """

    name: str
    arm: dict[str, Value]
    space: dict[str, Hyperparameter]
    fixed: dict[str, Value]
    seed: int
    num_trials: int = Field(gt=0)
    objective: Objective
    max_train_steps: int
    evaluation_interval_steps: int
    divergence_factor: float
    workload: WorkloadSpec
    num_workers: int
    threads_per_worker: int

    @property
    def fingerprint(self) -> str:
        """Equal for two studies exactly when their trials are: the objective may be changed after the fact (QR5)."""
        content = self.model_dump(mode="json", exclude={"num_trials", "objective", "workload"})
        # An ordered list, since the order of the dimensions decides the points.
        content["space"] = list(content["space"].items())
        # Not the module: it is another one when the same file is run as a script, a job or a notebook.
        content["workload"] = [self.workload.name, self.workload.settings]
        return fingerprint(content)
