"""How long the trials that are left will take, from those that this run has measured; no clock of its own.

What is measured is the time from one trial's end on a gang to the next one's, with all that a trial costs beside its
steps, and on gangs that share their machines' cores as they do in the round.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from raytune_playbook.engine.gang.messages import TrialKey
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, Event, NewMeasurements
from raytune_playbook.records.columns import STEP

FIRST_TRIAL_S = 5.0
"""Within about this, Tune has started and a gang has its first trial."""

CLOSING_S = 4.0
"""What follows the last trial: Tune's end, the gangs' and the page."""

HANDOVER_S = 3.0
"""A gang that has waited longer for its next trial was not only waiting for its turn."""


@dataclass
class _Running:
    """An attempt that runs.

    Fields:
        started_s: when its gang was free for it.
        part: of its steps that it has behind it, when it was ``seen_s``.
    """

    started_s: float
    gang: str
    part: float = 0.0
    seen_s: float = 0.0

    @property
    def whole_s(self) -> float | None:
        """What the attempt takes in all, by the part of its steps that it has behind it."""
        return (self.seen_s - self.started_s) / self.part if self.part else None


@dataclass
class Pace:
    """What a run has measured of its trials.

    Fields:
        num_left: trials that this run is to train, those included that have ended.
        num_steps: of a trial.
        estimate_s: of a trial, from the check before trial 0; what counts until a trial reports.
    """

    num_left: int
    num_steps: int
    estimate_s: float | None
    _has_begun: bool = False
    _running: dict[TrialKey, _Running] = field(default_factory=dict)
    _free_s: dict[str, float] = field(default_factory=dict)
    _took_s: list[float] = field(default_factory=list)
    _ended: set[TrialKey] = field(default_factory=set)

    def heard(self, event: Event, now_s: float) -> None:
        """An event has come in."""
        match event:
            case AttemptStarted():
                self._has_begun = True
                free_s = max(self._free_s.get(event.gang, now_s), now_s - HANDOVER_S)
                self._running[event.name.key] = _Running(free_s, event.gang)
            case NewMeasurements():
                if (running := self._running.get(event.name.key)) is not None:
                    step = max((int(row[STEP] or 0) for row in event.rows), default=0)
                    running.part, running.seen_s = min(1.0, step / self.num_steps), now_s
            case AttemptEnded():
                running = self._running.pop(event.name.key, None)
                if running is not None:
                    self._free_s[running.gang] = now_s
                    if event.is_final:
                        self._took_s.append(now_s - running.started_s)
                if event.is_final:
                    self._ended.add(event.name.key)

    def trial_s(self) -> float | None:
        """What a trial takes: the mean of those that have ended, else of those that run, else the estimate."""
        known = self._took_s or [whole for each in self._running.values() if (whole := each.whole_s) is not None]
        return sum(known) / len(known) if known else self.estimate_s

    def left_s(self, num_gangs: int, now_s: float) -> float | None:
        """What is left of the run, each gang taking the next trial when it has ended one; None while nobody knows."""
        trial_s = self.trial_s()
        if trial_s is None:
            return None
        left = [max(0.0, (each.whole_s or trial_s) - (now_s - each.started_s)) for each in self._running.values()]
        free_at_s = sorted(left + [0.0] * max(0, num_gangs - len(left)))
        if not free_at_s:  # all gangs are lost, and nobody knows when the next one starts
            return None
        heapq.heapify(free_at_s)
        for _ in range(self.num_left - len(self._ended) - len(left)):
            heapq.heappush(free_at_s, heapq.heappop(free_at_s) + trial_s)
        return max(free_at_s) + CLOSING_S + (0.0 if self._has_begun else FIRST_TRIAL_S)
