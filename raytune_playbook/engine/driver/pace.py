"""How long the trials that are left will take, from those that this run has measured; no clock of its own.

What is measured is the time from one trial's end on a gang to the next one's, with all that a trial costs beside its
steps, and on gangs that share their machines' cores as they do in the round.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

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
    """What a run has measured of its trials; those of one study are taken to cost the same.

    Fields:
        num_trials: trials that this run is to train by study, those included that have ended.
        num_steps: of a trial.
        estimates_s: of a trial by study, from the check before trial 0; they count until a trial reports.
    """

    num_trials: Mapping[str, int]
    num_steps: int
    estimates_s: Mapping[str, float]
    _has_begun: bool = False
    _running: dict[TrialKey, _Running] = field(default_factory=dict)
    _free_s: dict[str, float] = field(default_factory=dict)
    _took_s: dict[str, list[float]] = field(default_factory=dict)
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
                        self._took_s.setdefault(event.name.key[0], []).append(now_s - running.started_s)
                if event.is_final:
                    self._ended.add(event.name.key)

    def trials_s(self) -> dict[str, float]:
        """What a trial of each study takes, where that is known.

        It is the mean of those that have ended, else of those that run, else the check's estimate, times what the
        estimates were wrong by in the studies where more is known; else what one of the other studies takes.
        """
        measured = {study: fmean(took) for study, took in self._took_s.items()}
        for study in self.num_trials:
            wholes = [whole for key, each in self._running.items() if key[0] == study and (whole := each.whole_s)]
            if wholes and study not in measured:
                measured[study] = fmean(wholes)
        both = measured.keys() & self.estimates_s.keys()
        factor = sum(measured[study] for study in both) / sum(self.estimates_s[study] for study in both) if both else 1
        known = {study: factor * estimate_s for study, estimate_s in self.estimates_s.items()} | measured
        other_s = [fmean(known.values())] if known else []
        return {study: known.get(study, each) for study in self.num_trials for each in other_s}

    def left_s(self, num_gangs: int, now_s: float) -> float | None:
        """What is left of the run, each gang taking the next trial when it has ended one; None while nobody knows."""
        if not (trials_s := self.trials_s()):
            return None
        running = [
            (each.whole_s or trials_s[study], now_s - each.started_s) for (study, _), each in self._running.items()
        ]
        free_at_s = [max(0.0, whole_s - has_run_s) for whole_s, has_run_s in running]
        free_at_s += [0.0] * (num_gangs - len(running))
        if not free_at_s:  # all gangs are lost, and nobody knows when the next one starts
            return None
        heapq.heapify(free_at_s)
        for trial_s in self._waiting_s(trials_s):
            heapq.heappush(free_at_s, heapq.heappop(free_at_s) + trial_s)
        return max(free_at_s) + CLOSING_S + (0.0 if self._has_begun else FIRST_TRIAL_S)

    def _waiting_s(self, trials_s: Mapping[str, float]) -> list[float]:
        """What the trials take that no gang has yet, in the order in which they will run: the studies take turns."""
        begun = Counter(study for study, _ in self._ended | self._running.keys())
        turns = [(turn, trials_s[study]) for study, num in self.num_trials.items() for turn in range(begun[study], num)]
        return [trial_s for _, trial_s in sorted(turns, key=lambda each: each[0])]
