"""How a round stands, as metrics of Ray's, which Prometheus reads from each node's metrics port.

Ray's names begin with ``ray_``, and those of counters end with ``_total``. It exports what was set every 10 s and shows
a gauge for 20 s from then on. So a gauge is gone half a minute after its driver has set it last, while a counter stays
at its last value for as long as the driver's node runs.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ray.util.metrics import Counter, Gauge

from raytune_playbook.engine.driver.activity import Activity
from raytune_playbook.engine.driver.recorder import Recorder
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.engine.pool.events import AttemptEnded, AttemptStarted, Event, NewMeasurements
from raytune_playbook.records.types import Outcome

LOG = logging.getLogger("raytune_playbook")
EVERY_S = 2.0
"""Well within Ray's 10 s, after which what was not set again is not shown again."""

ZERO = sys.float_info.min
"""A counter of Ray's takes no zero, and Prometheus sees no increase of what was not there before."""


@dataclass(frozen=True)
class MetricSpec:
    """A metric and what it says.

    Fields:
        labels: beside those that Ray adds, such as the node's address.
        description: with its unit.
    """

    name: str
    labels: tuple[str, ...]
    description: str


TRIALS = MetricSpec(
    "raytune_playbook_trials",
    ("round", "state"),
    "Number of trials of a round by state: waiting, running, stopped, completed, infeasible or failed.",
)
BEST_OBJECTIVE = MetricSpec(
    "raytune_playbook_best_objective",
    ("round", "study"),
    "The objective of a study's best completed trial, in the metric's own unit.",
)
EXAMPLES_PER_SECOND = MetricSpec(
    "raytune_playbook_examples_per_second",
    ("round",),
    "Training examples per second of all gangs together, over the last minute.",
)
INPUT_WAIT_SHARE = MetricSpec(
    "raytune_playbook_input_wait_share",
    ("round",),
    "Share of the training steps' time that waits for data, from 0 to 1, over the last minute.",
)
GANG_RESTARTS = MetricSpec(
    "raytune_playbook_gang_restarts",
    ("round",),
    "Number of times that a gang's workers went before their time: they or their node died, or it was drained.",
)
GANG_UTILIZATION = MetricSpec(
    "raytune_playbook_gang_utilization",
    ("round",),
    "Share of the gangs' time in which they train a trial, from 0 to 1, over the last minute.",
)
GANGS = MetricSpec(
    "raytune_playbook_gangs",
    ("round", "state"),
    "Number of gangs by state: starting, ready, busy, restarting, lost or retiring.",
)


class RoundMetrics:
    """Tells how one run of a round stands; whatever goes wrong with that is no matter of the round.

    Args:
        recorder: which has recorded each event before it is heard of here.
    """

    def __init__(self, round_name: str, recorder: Recorder) -> None:
        self._round, self._recorder = round_name, recorder
        self._activity = Activity(time.monotonic())
        self._gangs: Mapping[str, GangState] = {}
        self._heard_at_s = self._activity.begun_s
        self._told_at_s = -EVERY_S
        self._num_told_restarts = 0
        self._gauges: dict[MetricSpec, Gauge] = {}
        self._restarts: Counter | None = None
        self._is_off = False

    def heard(self, event: Event, now_s: float) -> None:
        """An event has been recorded."""
        if self._is_off:
            return
        with self._harmless():
            size = None
            if isinstance(event, AttemptStarted | NewMeasurements | AttemptEnded):
                size = self._recorder.tally.trials[event.name.key].values.get("batch_size")
            self._activity.heard(event, size if isinstance(size, int) else 0, now_s)

    def gangs_are(self, gangs: Mapping[str, GangState], now_s: float) -> None:
        """The state of each gang, by its name, after all events; time to tell how the round stands."""
        if self._is_off:
            return
        with self._harmless():
            self._activity.heard_all(now_s)
            self._activity.gangs_were(self._gangs.values(), self._heard_at_s, now_s)
            self._gangs, self._heard_at_s = gangs, now_s
        if now_s - self._told_at_s >= EVERY_S:
            self.tell(now_s)

    def tell(self, now_s: float) -> None:
        """How the round stands."""
        self._told_at_s = now_s
        if not self._is_off:
            with self._harmless():
                self._tell(now_s)

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        """A round goes on without its metrics."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._is_off = True
            LOG.warning("the round's metrics end here (%s: %s); nothing else does", type(error).__name__, error)

    def _tell(self, now_s: float) -> None:
        for state, num in self._num_trials().items():
            self._set(TRIALS, num, state)
        for study, best in self._recorder.best_of_studies().items():
            self._set(BEST_OBJECTIVE, best.objective, study)
        self._set(EXAMPLES_PER_SECOND, self._activity.examples_per_second(now_s))
        self._set(INPUT_WAIT_SHARE, self._activity.input_wait_share(now_s))
        self._set(GANG_UTILIZATION, self._activity.gang_utilization(now_s))
        states = list(self._gangs.values())
        for state in GangState:
            if state is not GangState.RETIRED:  # of which nobody hears, since it is gone
                self._set(GANGS, states.count(state), state)
        self._count_restarts()

    def _num_trials(self) -> dict[str, int]:
        tally = self._recorder.tally
        ended = {str(outcome): tally.num(outcome) for outcome in Outcome}
        running, stopped = self._activity.num_running, len(tally.stopped)
        waiting = tally.num_trials - sum(ended.values()) - running - stopped
        return {"waiting": max(0, waiting), "running": running, "stopped": stopped, **ended}

    def _set(self, spec: MetricSpec, value: float | None, *labels: str) -> None:
        if spec not in self._gauges:
            self._gauges[spec] = Gauge(spec.name, spec.description, spec.labels)
        self._gauges[spec].set(value, self._tags(spec, *labels))

    def _count_restarts(self) -> None:
        if self._restarts is None:
            self._restarts = Counter(GANG_RESTARTS.name, GANG_RESTARTS.description, GANG_RESTARTS.labels)
            self._restarts.inc(ZERO, self._tags(GANG_RESTARTS))
        if more := self._activity.num_restarts - self._num_told_restarts:
            self._restarts.inc(more, self._tags(GANG_RESTARTS))
            self._num_told_restarts += more

    def _tags(self, spec: MetricSpec, *others: str) -> dict[str, str]:
        """Ray's own texts must be ASCII."""
        texts = (self._round, *others)
        return {
            label: text.encode("ascii", "backslashreplace").decode()
            for label, text in zip(spec.labels, texts, strict=True)
        }
