"""One `TorchTrainer.fit()`: the worker group of a gang, from its start to its end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.cluster.capacity import bundle
from raytune_playbook.engine.cluster.node_health import draining_nodes
from raytune_playbook.engine.gang.handles import HostHandle, PoolOfGang
from raytune_playbook.engine.gang.messages import Hello
from raytune_playbook.study.settings import Resources

CONFIG = "worker"
"""Train hands its workers a dict, in which a `WorkerConfig` has this name."""


@dataclass(frozen=True)
class WorkerConfig:
    """What each worker of a `Fit` gets.

    Fields:
        host, pool: whom it talks to.
        generation: of its `Fit`.
    """

    host: HostHandle
    pool: PoolOfGang
    generation: int
    resources: Resources


@dataclass
class Fit:
    """One `TorchTrainer.fit()` in a thread of its own, and what its workers have said."""

    generation: int
    started_at_s: float = field(default_factory=time.monotonic)
    hellos: dict[int, Hello] = field(default_factory=dict)
    error: str | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    leaving_since_s: float | None = None
    exiting: bool = False

    @property
    def node_ids(self) -> set[str]:
        return {hello.node_id for hello in self.hellos.values()}


def run_fit(fit: Fit, name: str, config: WorkerConfig, *, scratch: str) -> None:
    """Start the workers and wait for their end, in a thread of their host.

    Args:
        name: of the gang.
        config: for the workers.
        scratch: a folder for what Train writes.
    """
    try:
        resources = config.resources
        # Imported here, since every process that holds a handle to the pool imports this module, and needs no torch.
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from raytune_playbook.engine.gang.worker import run_worker

        trainer = TorchTrainer(
            run_worker,
            train_loop_config={CONFIG: config},
            torch_config=TorchConfig(timeout_s=max(1, round(resources.collective_timeout_s))),
            scaling_config=ScalingConfig(
                num_workers=resources.num_workers,
                use_gpu=resources.gpus_per_worker > 0,
                resources_per_worker=bundle(resources),
                placement_strategy="PACK" if resources.placement == "packed" else "SPREAD",
                # mypy sees the class of Train's first version, which Train takes no more.
                label_selector=resources.node_labels or None,  # type: ignore[call-arg]
            ),
            run_config=RunConfig(
                name=f"{name}-{fit.generation}",
                storage_path=scratch,
                failure_config=FailureConfig(max_failures=0),
            ),
        )
        trainer.fit()
    except BaseException as error:  # noqa: BLE001 - Train, its controller or a worker; all mean that the gang is gone
        fit.error = str(error).strip() or type(error).__name__
    finally:
        fit.ended.set()


def drained_hosts_of(fit: Fit) -> tuple[str, ...]:
    """Names of the workers' hosts that are about to be taken away."""
    draining = draining_nodes()
    return tuple(sorted({hello.host_name for hello in fit.hellos.values() if hello.node_id in draining}))


def kill(hellos: Iterable[Hello]) -> None:
    """SIGKILL workers, each from its own node, for a process that is stopped obeys nothing else."""
    for hello in hellos:
        there = NodeAffinitySchedulingStrategy(hello.node_id, soft=False)
        ray.remote(num_cpus=0, max_retries=0)(_kill_process).options(scheduling_strategy=there).remote(hello.process_id)


def _kill_process(process_id: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)
