"""A session: the connection to Ray, and the pool of gangs that its rounds share."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self, cast

import ray
import ray.exceptions

from raytune_playbook.data.datasets import Sources
from raytune_playbook.data.examples import Examples, Preparation, prepare, save
from raytune_playbook.data.materialized.preprocessed import Manifest
from raytune_playbook.data.materialized.store import start_store
from raytune_playbook.engine.cluster.calls import ask
from raytune_playbook.engine.cluster.capacity import (
    cluster_nodes,
    num_gangs,
    require_one_gang,
    smallest_object_store_bytes,
)
from raytune_playbook.engine.gang.messages import AttemptEnd, Handle
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.pool.events import News
from raytune_playbook.engine.pool.pool import start_pool
from raytune_playbook.engine.pool.state import GangFacts
from raytune_playbook.errors import CapacityError, RunError
from raytune_playbook.study.datasets import InputPipeline, Split
from raytune_playbook.study.settings import Resources
from raytune_playbook.study.trial import TrialSpec

ANSWER_TIMEOUT_S = 60.0
LEAVE_TIMEOUT_S = 90.0
SYSTEM_CONFIG = {"free_objects_period_milliseconds": 100}
"""Ray frees what nobody holds any more once a second, in which a fast stream makes several windows."""


def connect(address: str | None) -> bool:
    """Connect to a Ray cluster, unless this process already is.

    Args:
        address: of a running cluster; None for the one that ``RAY_ADDRESS`` names, and else a new one on this machine.

    Returns:
        Whether a new local cluster was started.

    Raises:
        CapacityError: there is no cluster at that address.
    """
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        with _ray_logger_kept():
            if address:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                # One CPU runs a gang of small workers and the other the pipeline, also where there is only one core.
                cpus = max(2, len(os.sched_getaffinity(0)))
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _system_config=SYSTEM_CONFIG,
                )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise CapacityError(
            f"A running Ray cluster is needed at {address!r}, but there is none ({str(error).splitlines()[0]}); "
            "start one, or leave out the address to use this machine."
        ) from None
    return address is None


@contextlib.contextmanager
def _ray_logger_kept() -> Iterator[None]:
    """`ray.init` sets up the logger called "ray" anew; the caller's handlers and level are put back after it."""
    logger = logging.getLogger("ray")
    handlers, propagate, level = logger.handlers[:], logger.propagate, logger.level
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


class Gangs:
    """The warm gangs of a session: ``with Gangs(Resources(num_workers=2)) as gangs: run(round, gangs=gangs)``.

    Rounds, procedures and retrainings that share it pay for the start of workers once.

    Args:
        resources: of each gang; a round that shares this session must ask for the same.
        address: of the cluster, as for `connect`.
        keep_idle_s: how long a gang without work keeps its resources.

    Raises:
        CapacityError: the cluster can never hold one gang.
    """

    def __init__(
        self, resources: Resources | None = None, *, address: str | None = None, keep_idle_s: float = 120.0
    ) -> None:
        self.resources = resources or Resources()
        self._address, self._keep_idle_s = address, keep_idle_s
        self._pool: Handle | None = None
        self._store: Handle | None = None
        self._owns_cluster = False

    def __enter__(self) -> Self:
        self._owns_cluster = connect(self._address)
        try:
            nodes, grows = cluster_nodes()
            require_one_gang(nodes, self.resources, grows=grows)
        except CapacityError:
            self.__exit__(None, None, None)
            raise
        self._pool = start_pool(self.resources, self._keep_idle_s)
        self._store = start_store()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            try:
                ask(type(None), self._pool.shut_down.remote(), timeout_s=LEAVE_TIMEOUT_S)
            except ray.exceptions.RayError as failure:
                logging.getLogger("raytune_playbook").warning("the pool did not shut down cleanly: %s", failure)
            ray.kill(self._pool)
            self._pool = None
        if self._store is not None:
            ray.kill(self._store)
            self._store = None
        if self._owns_cluster:
            ray.shutdown()
            self._owns_cluster = False

    @property
    def pool(self) -> Handle:
        """The pool's actor.

        Raises:
            RunError: outside the ``with`` block.
        """
        if self._pool is None:
            raise RunError("Gangs work inside their `with` block only; enter it first.")
        return self._pool

    def prepare(self, datasets: object, workload: bytes | None, *, label: str, pipeline: InputPipeline) -> Examples:
        """Read a round's examples, or what is left of them to read, for all gangs.

        Args:
            workload: pickled, where it preprocesses examples; else None.
            label: the column of labels.

        Raises:
            InputError: they cannot be read, preprocessed or trained on.
        """
        return prepare(datasets, self._preparation(workload, label, pipeline))

    def save(
        self,
        sources: Sources,
        workload: bytes | None,
        *,
        label: str,
        split: Split | None,
        storage: str,
        names: tuple[str, str],
    ) -> Manifest:
        """Preprocess examples and save them.

        Args:
            names: of the workload, and the fingerprint under which it is saved.

        Raises:
            InputError: they cannot be read or preprocessed.
        """
        how = self._preparation(workload, label, InputPipeline())
        return save(sources, how, split=split, storage=storage, names=names)

    def _preparation(self, workload: bytes | None, label: str, pipeline: InputPipeline) -> Preparation:
        if self._store is None:
            raise RunError("Gangs work inside their `with` block only; enter it first.")
        return Preparation(
            self._store,
            workload,
            label,
            num_cpus=self.resources.pipeline_cpus,
            num_gangs=self.capacity(),
            node_bytes=smallest_object_store_bytes(),
            pipeline=pipeline,
        )

    def capacity(self) -> int:
        """How many gangs the cluster holds now, or may grow to."""
        nodes, _ = cluster_nodes()
        return num_gangs(nodes, self.resources)

    def facts(self) -> list[GangFacts]:
        """The gangs as they are now."""
        return cast(list[GangFacts], ask(list, self.pool.gangs.remote(), timeout_s=ANSWER_TIMEOUT_S))

    def try_out(self, context: RoundContext, spec: TrialSpec) -> AttemptEnd:
        """Run one trial that is not recorded, and say how it ended.

        Raises:
            RunError: no gang could be had.
        """
        pool = self.pool
        ask(type(None), pool.try_out.remote(context.round_id, spec), timeout_s=ANSWER_TIMEOUT_S)
        while True:
            ended = ask(object, pool.tried_out.remote(context.round_id, spec), timeout_s=ANSWER_TIMEOUT_S)
            if isinstance(ended, AttemptEnd):
                return ended
            news = ask(News, pool.news.remote(0), timeout_s=ANSWER_TIMEOUT_S)
            if news.failure:
                raise RunError(f"The round did not start: {news.failure}.")
