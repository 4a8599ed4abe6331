"""200 gangs at once, simulated: ``python -m tests.soak.gangs``.

Pool, queue, events, driver, records and Tune's trials are the real ones; only a gang's host and workers are stand-ins
inside the pool's process, which sleep as long as a trial takes and report as a worker does. Printed are how long a gang
waits from one trial's end to the next one's start (the driver has recorded two events in between), what driver, pool
and the rest of the cluster compute per trial, and which of them saturates first: where none of them computes much of
the time, gangs wait for Tune, which hands over one trial at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from raytune_playbook import Budget, Float, Gangs, Objective, Resources, Round
from raytune_playbook.engine import session
from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.gang.handles import HostHandle, PoolOfGang
from raytune_playbook.engine.gang.messages import Assignment, AttemptEnd, Cause, Started
from raytune_playbook.engine.pool import gang_life
from raytune_playbook.engine.pool import pool as pool_module
from raytune_playbook.engine.pool.handle import PoolHandle
from raytune_playbook.engine.pool.pool import Pool
from raytune_playbook.engine.rounds.run import Wishes, run_round
from raytune_playbook.engine.rounds.running import Place
from raytune_playbook.records.types import Machine, Outcome, Training
from raytune_playbook.train.end import End
from tests.benchmarks.trial_cost import Sleeper
from tests.conftest import running_cluster
from tests.soak.processes import Sample, cpu_s, sampled, since

NUM_EVALUATIONS = 10
ALONE = ("driver", "pool", "gcs", "raylet")
"""Processes of which there is one, whatever the number of gangs."""

SATURATED = 0.7
"""A process that computes for more than this share of the time keeps others waiting."""

MACHINE = Machine("simulated", "none", "cpu", 1, 1, ("simulated",), (1,))


class Call:
    """What an actor's method looks like to who calls it."""

    def __init__(self, method: Callable[..., Awaitable[object]]) -> None:
        self.remote = method


class StandIn:
    """A gang without processes."""

    trial_s = 1.0

    def __init__(self, name: str, resources: Resources, pool: PoolOfGang, node_id: str) -> None:
        self._pool, self._num_starts = pool, 0
        self.waits_s: list[float] = []
        self._idle_since_s: float | None = None
        for method in (self.start, self.run, self.stop_trial, self.leave, self.drained_hosts, self.processes):
            setattr(self, method.__name__, Call(method))

    async def start(self, timeout_s: float) -> Started:
        self._num_starts = 1
        return Started(self._num_starts)

    async def run(self, assignment: Assignment) -> AttemptEnd:
        if self._idle_since_s is not None:
            self.waits_s.append(time.monotonic() - self._idle_since_s)
        for number in range(1, NUM_EVALUATIONS + 1):
            await asyncio.sleep(self.trial_s / NUM_EVALUATIONS)
            row = {"step": number, "split": "validation", "loss": 1.0 / number + assignment.trial.index / 1e6}
            await self._pool.new_measurements.remote(assignment.name, (row,))  # as a host's message comes
        self._idle_since_s = time.monotonic()
        training = Training(num_steps=NUM_EVALUATIONS, num_parameters=1, train_s=self.trial_s)
        return AttemptEnd(Cause.COMPLETED, End(Outcome.COMPLETED, training), machine=MACHINE)

    async def stop_trial(self, attempt: object) -> None: ...

    async def leave(self) -> bool:
        return True

    async def drained_hosts(self) -> tuple[str, ...]:
        return ()

    async def processes(self) -> dict[int, int]:
        return {}


class SimulatedPool(Pool):
    """The pool, whose gangs are stand-ins."""

    def __init__(self, resources: Resources, keep_idle_s: float, trial_s: float) -> None:
        self._hosts: list[StandIn] = []
        StandIn.trial_s = trial_s
        pool_module.start_host = self._stand_in  # type: ignore[assignment]
        gang_life.kill_actor = lambda host: None
        super().__init__(resources, keep_idle_s)

    def _stand_in(self, name: str, resources: Resources, pool: PoolOfGang, node_id: str) -> HostHandle:
        self._hosts.append(StandIn(name, resources, pool, node_id))
        return cast(HostHandle, self._hosts[-1])

    async def waits_s(self) -> list[float]:
        return [wait_s for host in self._hosts for wait_s in host.waits_s]


def measured(num_gangs: int, num_trials: int, trial_s: float) -> dict[str, Any]:
    """Run a round on so many."""
    resources = Resources(num_workers=1, cpus_per_worker=0.9 / num_gangs, num_gangs=num_gangs)

    def start_simulated(resources: Resources, keep_idle_s: float) -> PoolHandle:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(num_cpus=0)(SimulatedPool).options(scheduling_strategy=here, name="pool")
        return cast(PoolHandle, actor.remote(resources, keep_idle_s, trial_s))

    session.start_pool = start_simulated
    round_ = Round(
        name="simulated",
        goal="Does the driver keep up?",
        workload=Sleeper(trial_s),
        nuisance={"learning_rate": Float(1e-3, 1e-2, scale="log")},
        objective=Objective(metric="loss"),
        budget=Budget(num_trials=num_trials, max_train_steps=NUM_EVALUATIONS, evaluation_interval_steps=1),
        resources=resources,
    )
    with tempfile.TemporaryDirectory() as storage, running_cluster(2), Gangs(resources) as gangs:
        status = Path(storage) / round_.name / "status.json"
        began_s = time.monotonic()
        with sampled(status, cpu_s, every_s=1.0) as samples:
            store, _ = run_round(round_, Place(storage, Console(file=io.StringIO()), gangs), Wishes(is_checked=True))
        took_s = time.monotonic() - began_s
        waits_s = answer_of(gangs.pool.waits_s.remote(), timeout_s=60)  # type: ignore[attr-defined]
        outcomes = store.trials()["outcome"].to_pylist()
    return {
        "gangs": num_gangs,
        "trial_s": trial_s,
        "completed": outcomes.count("completed"),
        "took_s": round(took_s, 1),
        "ideal_s": round(num_trials / num_gangs * trial_s, 1),
        "wait_for_next_trial_s": dict(
            zip(("median", "p90", "most"), np.quantile(waits_s, [0.5, 0.9, 1.0]).round(2).tolist(), strict=True)
        ),
        **costs(samples, num_gangs),
    }


def costs(samples: list[Sample], num_gangs: int) -> dict[str, Any]:
    """Of the trials after each gang's first: CPU seconds per trial by role, and what one core allows."""
    first = next(each for each in samples if each.num_done >= min(num_gangs, samples[-1].num_done - 1))
    last = samples[-1]
    num = last.num_done - first.num_done
    cpu = {role: gained_s / num for role, gained_s in since(first, last).items()}
    per_s = num / (last.at_s - first.at_s)
    shares = {role: round(per_s * cpu.get(role, 0.0), 2) for role in ALONE}
    busiest = max(shares, key=shares.__getitem__)
    return {
        "trials_per_s": round(per_s, 2),
        "cpu_s_per_trial": {role: round(each, 4) for role, each in cpu.items()},
        "events_per_trial": NUM_EVALUATIONS + 2,
        "share_of_a_core": shares,
        "saturates_first": busiest if shares[busiest] > SATURATED else "the hand-over through Tune, or the machine",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gangs", type=int, default=200)
    parser.add_argument("--trials", type=int, default=600)
    parser.add_argument("--trial-s", type=float, default=60.0)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(measured(options.gangs, options.trials, options.trial_s)) + "\n")


if __name__ == "__main__":
    main()
