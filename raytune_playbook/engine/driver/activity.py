"""What a run's gangs are at, over the last minute; no clock of its own.

Workers report at their reporting intervals, which may be far apart, and what they trained until then lies evenly over
the time that it took. While an attempt runs its last report is taken to go on, for a while.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Self

from raytune_playbook.engine.gang.messages import TrialKey
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, Event, GangChanged, NewMeasurements
from raytune_playbook.records.columns import SPLIT, TIME_COLUMNS, TRAIN_STEPS_SPLIT, MeasurementRow

WINDOW_S = 60.0

GOES_ON = 2.0
"""For so many times as long as a report covers the attempt is taken to go on as in it; then it may hang."""

REPLAYED = 1.5
"""Reports whose steps took so many times what there was time for were made by an attempt before, and are told again."""


@dataclass(frozen=True)
class _Stretch:
    """What was done evenly over some time.

    Fields:
        amounts: of each kind.
    """

    begin_s: float
    end_s: float
    amounts: tuple[float, ...]

    def part(self, begin_s: float, end_s: float) -> float:
        """How much of it lies between these, 1 being all."""
        common_s = min(self.end_s, end_s) - max(self.begin_s, begin_s)
        return max(0.0, common_s) / (self.end_s - self.begin_s)

    def going_on(self, now_s: float) -> Self | None:
        """What has followed it until now, as far as one may guess."""
        covers_s = self.end_s - self.begin_s
        goes_on_s = min(now_s - self.end_s, GOES_ON * covers_s)
        if goes_on_s <= 0:
            return None
        amounts = tuple(amount * goes_on_s / covers_s for amount in self.amounts)
        return replace(self, begin_s=self.end_s, end_s=self.end_s + goes_on_s, amounts=amounts)


@dataclass
class _LastMinute:
    """What was done in the last `WINDOW_S`, which amounts to ``num_amounts`` numbers."""

    num_amounts: int
    _stretches: deque[_Stretch] = field(default_factory=deque)

    def add(self, stretch: _Stretch) -> None:
        self._stretches.append(stretch)
        while self._stretches[0].end_s < stretch.end_s - WINDOW_S:
            self._stretches.popleft()

    def sums(self, now_s: float, more: Iterable[_Stretch] = ()) -> list[float]:
        sums = [0.0] * self.num_amounts
        for stretch in itertools.chain(self._stretches, more):
            part = stretch.part(now_s - WINDOW_S, now_s)
            sums = [total + part * amount for total, amount in zip(sums, stretch.amounts, strict=True)]
        return sums


@dataclass
class _Running:
    """An attempt that runs.

    Fields:
        steps_s: seconds of the steps that it has trained.
        since_s: when it was last heard to have trained.
        waiting: amounts of the reports that have come in since `Activity.heard_all`.
    """

    started_s: float
    since_s: float
    steps_s: float = 0.0
    waiting: list[tuple[float, ...]] = field(default_factory=list)
    last: _Stretch | None = None

    def report(self, rows: Iterable[MeasurementRow], batch_size: int) -> None:
        """Note the amounts of a report: examples, seconds of waiting for data, and seconds of steps."""
        if steps := [row for row in rows if row[SPLIT] == TRAIN_STEPS_SPLIT]:
            wait_s = sum(float(row.get("wait_s") or 0.0) for row in steps)
            steps_s = sum(float(row.get(name) or 0.0) for row in steps for name in TIME_COLUMNS)
            self.waiting.append((len(steps) * batch_size, wait_s, steps_s))


@dataclass
class Activity:
    """What a run's gangs have been at.

    Fields:
        begun_s: when the run began.
        num_restarts: how often a gang's workers went before their time.
    """

    begun_s: float
    num_restarts: int = 0
    _running: dict[TrialKey, _Running] = field(default_factory=dict)
    _trained: _LastMinute = field(default_factory=lambda: _LastMinute(3))
    _gangs: _LastMinute = field(default_factory=lambda: _LastMinute(2))

    @property
    def num_running(self) -> int:
        """Trials that gangs train now."""
        return len(self._running)

    def heard(self, event: Event, batch_size: int, now_s: float) -> None:
        """An event has come in; ``batch_size`` is that of the trial that it is about."""
        match event:
            case AttemptStarted():
                self._running[event.name.key] = _Running(now_s, now_s)
            case NewMeasurements():
                if (running := self._running.get(event.name.key)) is not None:
                    running.report(event.rows, batch_size)
            case AttemptEnded():
                if (running := self._running.pop(event.name.key, None)) is not None:
                    self._take(running, now_s)
            case GangChanged():
                self.num_restarts += event.is_restart

    def heard_all(self, now_s: float) -> None:
        """There are no more events until now: an attempt's reports that came in together are looked at as one."""
        for running in self._running.values():
            self._take(running, now_s)

    def gangs_were(self, states: Collection[GangState], since_s: float, now_s: float) -> None:
        """The gangs that there were from then to now."""
        if now_s > since_s:
            num_busy = sum(state is GangState.BUSY for state in states)
            seconds = now_s - since_s
            self._gangs.add(_Stretch(since_s, now_s, (num_busy * seconds, len(states) * seconds)))

    def examples_per_second(self, now_s: float) -> float:
        """Of training, by all gangs."""
        examples, _, _ = self._trained_until(now_s)
        return examples / max(1.0, min(WINDOW_S, now_s - self.begun_s))

    def input_wait_share(self, now_s: float) -> float | None:
        """The share of the training steps' time without a batch to compute on; None where nothing trained."""
        _, wait_s, steps_s = self._trained_until(now_s)
        return wait_s / steps_s if steps_s else None

    def gang_utilization(self, now_s: float) -> float | None:
        """The share of the gangs' time in which they train; None where there was no gang."""
        busy_s, all_s = self._gangs.sums(now_s)
        return busy_s / all_s if all_s else None

    def _take(self, running: _Running, now_s: float) -> None:
        """Count what an attempt has reported since it was last counted, unless it is told again."""
        amounts = tuple(map(sum, zip(*running.waiting, strict=True)))
        running.waiting.clear()
        if not amounts or now_s <= running.since_s:
            return
        steps_s = running.steps_s + amounts[-1]
        if steps_s <= REPLAYED * (now_s - running.started_s):
            running.last = _Stretch(running.since_s, now_s, amounts)
            running.since_s, running.steps_s = now_s, steps_s
            self._trained.add(running.last)

    def _trained_until(self, now_s: float) -> list[float]:
        """Examples, seconds of waiting for data, and seconds of steps."""
        going_on = [running.last.going_on(now_s) for running in self._running.values() if running.last is not None]
        return self._trained.sums(now_s, filter(None, going_on))
