"""One try at a trial as one of its workers sees it: what is trained, on what, among whom, and who follows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from raytune_playbook.records.columns import MeasurementRow
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.group import Group
from raytune_playbook.train.workload import Batch, Values, Workload


class Data(Protocol):
    """Where a worker's batches come from."""

    def training_batches(self, trial: TrialSpec, *, first_batch: int) -> Iterator[Batch]:
        """This worker's slice of global batch first_batch, first_batch + 1, ... without end."""

    def evaluation_batches(self, split: str) -> Iterable[Batch]:
        """This worker's padded batches of a split, with the columns that `evaluate` needs.

        Splits: ``train`` (a fixed sample), ``validation`` (all, or a fixed sample), ``validation_full`` (all) and
        ``chosen`` (a few).
        """

    def transfer_wait_s(self) -> float:
        """Seconds so far in which whoever takes the training batches has waited for a copy to the device."""

    def stage_seconds(self) -> Mapping[str, float]:
        """Seconds so far by one of `PIPELINE_STAGES` in which training batches were being made, waiting excluded."""


class Watcher(Protocol):
    """Who follows a trial from outside; every worker has one."""

    def new_measurements(self, rows: list[MeasurementRow]) -> None:
        """Rows of the last interval or evaluation; the same on all workers, so that one may write them."""

    def stepped(self, step: int) -> None:
        """A step was begun; cheap, called at every step."""

    def evaluated(self) -> None:
        """An evaluation batch was begun, which moves the trial on too."""

    def wants_stop(self) -> bool:
        """Whether the trial is to end at the next reporting interval; one worker's wish is enough."""


@dataclass(frozen=True)
class TrialRun:
    """What one worker has for one try at a trial."""

    workload: Workload
    trial: TrialSpec
    data: Data
    group: Group
    watcher: Watcher

    @cached_property
    def values(self) -> Values:
        """The trial's hyperparameter values."""
        return Values(self.trial.values)

    def evaluation_batches(self, split: str) -> Iterator[Batch]:
        """This worker's batches of a split, each of which its watcher hears of."""
        return self._watched(self.data.evaluation_batches(split))

    def first_training_batches(self) -> Iterator[Batch]:
        """The training batches from the first one on, for an evaluation, which its watcher hears of."""
        return self._watched(self.data.training_batches(self.trial, first_batch=0))

    def _watched(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.watcher.evaluated()
            yield batch
