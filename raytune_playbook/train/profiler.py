"""A trace of chosen training steps (rule PI4): Chrome's JSON, which Perfetto opens.

The trace names each step and its parts beside torch's own operations. What the profiler takes itself stands in the
times of those steps; the numbers that they compute are as ever.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import torch

from raytune_playbook.study.profile_steps import ProfileSteps
from raytune_playbook.train.group import Group

LOG = logging.getLogger("raytune_playbook")


@dataclass(frozen=True)
class Profile:
    """What to trace, and who keeps the trace: gzipped JSON."""

    steps: ProfileSteps
    save: Callable[[bytes], None]


@contextlib.contextmanager
def tracing(profile: Profile | None, group: Group) -> Iterator[Tracer]:
    """A tracer for one attempt at a trial, which saves what it has traced when the attempt ends before the last step.

    Args:
        profile: None to trace nothing.
    """
    tracer = Tracer(profile, group)
    try:
        yield tracer
    finally:
        tracer.close()


class Tracer:
    """Traces the steps that a profile asks for; an attempt that goes on amid them traces those that are left."""

    def __init__(self, profile: Profile | None, group: Group) -> None:
        self._profile, self._group = profile, group
        self._profiler: torch.profiler.profile | None = None

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Within it the training step of this number, counted from 1, goes on."""
        if self._profile is None or not self._profile.steps.first <= number <= self._profile.steps.last:
            yield
            return
        if self._profiler is None:
            self._open()
        with self._group.clock.named(f"step {number}"):
            yield
        if number == self._profile.steps.last:
            self.close()

    def _open(self) -> None:
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self._group.device.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self._profiler = torch.profiler.profile(activities=activities)
        self._profiler.start()
        self._group.clock.is_annotated = True

    def close(self) -> None:
        """Save the trace, if one is open."""
        if self._profiler is None or self._profile is None:
            return
        profiler, self._profiler = self._profiler, None
        self._group.clock.is_annotated = False
        profiler.stop()
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "trace.json.gz"
                profiler.export_chrome_trace(str(path))
                self._profile.save(path.read_bytes())
        except OSError as error:  # which is no reason for the trial to fail
            LOG.warning("the trace of steps %d to %d is lost: %s", *astuple(self._profile.steps), error)
