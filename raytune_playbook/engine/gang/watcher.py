"""What follows a trial on each of its workers: tells the host how far it is, and asks it whether to go on."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

import ray.exceptions

from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.gang.messages import Assignment, Wish
from raytune_playbook.engine.gang.train_run import WorkerConfig
from raytune_playbook.records.columns import MeasurementRow
from raytune_playbook.train.group import Group

HOST_TIMEOUT_S = 60.0
"""A host that does not answer a short question for this long is gone."""

HEARTBEAT_S = 1.0


@dataclass
class HostWatcher:
    """Tells the host how far this worker is, and asks it whether to go on."""

    assignment: Assignment
    config: WorkerConfig
    group: Group
    num_reports: int = 0
    _num_batches: int = 0
    _num_steps: int = 0
    _stop: bool = False

    def new_measurements(self, rows: list[MeasurementRow]) -> None:
        if self.group.rank == 0:  # rule MH1: one worker reports for all
            self.num_reports += 1
            number, report = self.assignment.number, self.num_reports
            self.config.host.new_measurements.remote(self.config.generation, number, report, tuple(rows))

    def stepped(self, step: int) -> None:
        self._num_batches += 1
        self._num_steps += 1
        if self._num_steps == 2:  # the first step, which may compile, is over
            self.group.set_timeout(self.config.resources.collective_timeout_s)

    def evaluated(self) -> None:
        self._num_batches += 1

    def wants_stop(self) -> bool:
        return self._stop

    @contextlib.contextmanager
    def heartbeat(self) -> Iterator[None]:
        done = threading.Event()
        thread = threading.Thread(target=self._beat, args=(done,), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _beat(self, done: threading.Event) -> None:
        host, generation, number = self.config.host, self.config.generation, self.assignment.number
        while not done.wait(HEARTBEAT_S):
            try:
                beat = host.heartbeat.remote(generation, number, self.group.rank, self._num_batches)
                wish = answer_of(beat, timeout_s=HOST_TIMEOUT_S)
            except Exception as error:  # noqa: BLE001 - most often that the host is gone
                if not isinstance(error, ray.exceptions.RayError):
                    traceback.print_exc()
                os._exit(1)  # without heartbeats nobody waits for this trial, or would end a stuck collective
            if wish is Wish.EXIT:  # it may be stuck in a collective that its peers have left; the log says where
                faulthandler.dump_traceback(sys.__stderr__ or 2)
                os._exit(1)
            self._stop = wish is Wish.STOP
