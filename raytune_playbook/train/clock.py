"""Where the time of a training step goes (rule PI1), without waiting for the device to know it (rule PI3).

On a CPU a part takes what a clock shows. A CUDA device works through a queue, far behind the code that fills it, so
that a clock there shows nothing: CUDA events are queued at both ends of a part, and read at the reporting interval,
when the device has passed them all. What lies between them is the time that the device spent there: a batch that was
late while the device still had work to do held nobody up, and counts for nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import torch

from raytune_playbook.records.types import TimeByPart

Part: TypeAlias = Literal["data", "synchronization", "augmentation"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass
class TimedStep:
    """What was timed of one step.

    Fields:
        parts_s: seconds of each part, on a CPU.
        spans: parts with the events at both ends, on a CUDA device.
        transfer_s: seconds of the part ``data`` in which a copy to the device was waited for.
        started_s, ended_s: of the step, by `time.perf_counter`.
    """

    device: torch.device
    started_s: float = field(default_factory=lambda: time.perf_counter())
    ended_s: float = 0.0
    transfer_s: float = 0.0
    parts_s: dict[Part, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    spans: list[tuple[Part, torch.cuda.Event, torch.cuda.Event]] = field(default_factory=list)

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def seconds(self, part: Part) -> float:
        """What the part took in all; on a CUDA device once it has passed the part's end."""
        on_device_ms: float = sum(first.elapsed_time(last) for name, first, last in self.spans if name == part)
        return self.parts_s[part] + on_device_ms / 1000


class Clock:
    """Times the parts of the step that is under way; outside of a step it times nothing.

    Fields:
        is_annotated: whether a profiler runs, whose trace shall name the parts.
    """

    def __init__(self) -> None:
        self.is_annotated = False
        self._step: TimedStep | None = None

    @contextlib.contextmanager
    def step(self, device: torch.device) -> Iterator[TimedStep]:
        """One training step; what is yielded knows its times when the step is over."""
        self._step = step = TimedStep(device)
        try:
            yield step
        finally:
            step.ended_s = time.perf_counter()
            self._step = None

    @contextlib.contextmanager
    def timed(self, part: Part) -> Iterator[None]:
        """Within it a part of the step goes on."""
        with self.named(part):
            step = self._step
            if step is None:
                yield
            elif step.is_cuda:
                queue = torch.cuda.current_stream(step.device)
                first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                first.record(queue)
                yield
                last.record(queue)
                step.spans.append((part, first, last))
            else:
                started_s = time.perf_counter()
                yield
                step.parts_s[part] += time.perf_counter() - started_s

    def named(self, part: str) -> contextlib.AbstractContextManager[object]:
        """Within it a profiler calls what goes on by the part's name."""
        return torch.profiler.record_function(part) if self.is_annotated else contextlib.nullcontext()


def times_by_part(steps: Sequence[TimedStep]) -> list[TimeByPart]:
    """The times of consecutive steps, when the device has done them all."""
    times = [_but_computing(step) for step in steps]
    if steps and steps[0].is_cuda:  # where no clock shows when a step has ended
        all_s = time.perf_counter() - steps[0].started_s
        computing_s = [(all_s - sum(each.total_s for each in times)) / len(steps)] * len(steps)
    else:
        computing_s = [step.ended_s - step.started_s - each.total_s for step, each in zip(steps, times, strict=True)]
    return [replace(each, compute_s=max(0.0, rest_s)) for each, rest_s in zip(times, computing_s, strict=True)]


def _but_computing(step: TimedStep) -> TimeByPart:
    data_s = step.seconds("data")
    transfer_s = min(step.transfer_s, data_s)
    return TimeByPart(
        wait_s=data_s - transfer_s,
        transfer_s=transfer_s,
        sync_s=step.seconds("synchronization"),
        augment_s=step.seconds("augmentation"),
    )
