"""A session: the connection to Ray, and the pool of gangs that its rounds share."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import ray
import ray.exceptions

from raytune_playbook.data.examples import Preparation
from raytune_playbook.data.materialized.store import StoreHandle, start_store
from raytune_playbook.engine.cluster.calls import answer_of, kill_actor
from raytune_playbook.engine.cluster.capacity import (
    cluster_nodes,
    local_cpus,
    num_gangs_in_all,
    require_local_cpus,
    require_one_gang,
    smallest_object_store_bytes,
)
from raytune_playbook.engine.cluster.loss import ClusterAddress
from raytune_playbook.engine.cluster.own_token import keep_own_token
from raytune_playbook.engine.cluster.ray_internals import (
    OtherVersions,
    Probe,
    other_versions,
    probe,
    start_local_cluster,
)
from raytune_playbook.engine.cluster.termination import has_come, termination_raises
from raytune_playbook.engine.gang.messages import AttemptEnd, NothingYet
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.pool.handle import PoolHandle
from raytune_playbook.engine.pool.pool import start_pool
from raytune_playbook.engine.pool.state import GangFacts
from raytune_playbook.errors import CapacityError, NoClusterError, RunError
from raytune_playbook.study.datasets import InputPipeline
from raytune_playbook.study.settings import Resources
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.submission.job_api import find_token

ANSWER_TIMEOUT_S = 60.0
LEAVE_TIMEOUT_S = 90.0


def cluster_address(address: str | None) -> str | None:
    """The address of the cluster to join: the one given, or else that of ``RAY_ADDRESS``; None for this machine.

    Raises:
        CapacityError: it is blank, or a URL.
    """
    if address is None:
        address = os.environ.get("RAY_ADDRESS", "").strip() or None
    if address is not None and (not address.strip() or "://" in address):
        raise CapacityError(
            f"A round joins a cluster at HOST:PORT, such as 127.0.0.1:6379, but got {address!r}; correct --address or "
            "RAY_ADDRESS, or hand the job over to a dashboard's URL with `raytune-playbook submit`."
        )
    return address


def connect(address: str | None) -> bool:
    """Connect to a Ray cluster, unless this process already is.

    Args:
        address: of a running cluster; None for the one that ``RAY_ADDRESS`` names, and else a new one on this machine.

    Returns:
        Whether a new local cluster was started.

    Raises:
        CapacityError: there can be or is no cluster at that address, or it wants another token or other versions.
        InputError: the token of a new local cluster cannot be written.
    """
    if ray.is_initialized():
        return False
    address = cluster_address(address)
    try:
        with _ray_logger_kept():
            if address:
                _require_cluster(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                if (sentence := keep_own_token()) is not None:
                    sys.stderr.write(f"{sentence}\n")  # of a driver's log nobody would know
                start_local_cluster(num_cpus=local_cpus(), logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if (versions := other_versions(error)) is not None:
            raise CapacityError(_about_versions(address, versions)) from None
        raise _no_cluster(address, str(error).partition("\n")[0]) from None
    return address is None


def _require_cluster(address: str) -> None:
    """Ray itself tries for minutes, prints a line each second, and takes a refused token for a cluster that is away."""
    match probe(address):
        case Probe.SILENT:
            raise _no_cluster(address, "nothing answers")
        case Probe.REFUSES_TOKEN:
            raise CapacityError(_about_token(address))


def _about_token(address: str) -> str:
    token, where = find_token(os.environ), "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file with the cluster's token"
    if token is None:
        return f"The Ray cluster at {address} wants a token, but none is given; set RAY_AUTH_MODE=token and {where}."
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return (
            f"The Ray cluster at {address} wants a token, but Ray does not send the one of {token.source}; "
            "set RAY_AUTH_MODE=token."
        )
    return (
        f"The token must be the cluster's own, but the Ray cluster at {address} refuses the one of {token.source}; "
        f"take the cluster's (`ray get-auth-token` on its head node) and set {where}."
    )


def _about_versions(address: str | None, versions: OtherVersions) -> str:
    theirs, own = (f"Ray {ray} and Python {python}" for ray, python in (versions.of_cluster, versions.of_process))
    return (
        f"A process that joins a cluster needs its versions, but the Ray cluster at {address} runs {theirs}, and this "
        f"process {own}; install the cluster's here, or hand the job over with `raytune-playbook submit`."
    )


def _no_cluster(address: str | None, why: str) -> NoClusterError:
    return NoClusterError(
        f"A running Ray cluster is needed at {address!r}, but there is none ({why}); start one, or leave out the "
        "address to use this machine."
    )


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


def _shut_down(pool: PoolHandle) -> None:
    try:
        answer_of(pool.shut_down.remote(), timeout_s=LEAVE_TIMEOUT_S)
    except ray.exceptions.RayError as failure:
        logging.getLogger("raytune_playbook").warning("the pool did not shut down cleanly: %s", failure)


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
        self._pool: PoolHandle | None = None
        self._store: StoreHandle | None = None
        self._owns_cluster = False
        self._cluster: ClusterAddress | None = None
        self._within = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if not ray.is_initialized() and cluster_address(self._address) is None:
            require_local_cpus(self.resources)
        self._owns_cluster = connect(self._address)
        try:
            self._within.enter_context(termination_raises())
            self._cluster = ClusterAddress.connected()
            with self.losses_told():
                require_one_gang(cluster_nodes(), self.resources)
                self._pool = start_pool(self.resources, self._keep_idle_s)
                self._store = start_store()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pool, store, self._pool, self._store = self._pool, self._store, None, None
        is_lost = self._cluster is not None and self._cluster.lost() is not None  # and nobody is there to ask
        if pool is not None and not is_lost:
            if not has_come():  # which leaves no time for trials and workers to end by themselves
                _shut_down(pool)
            kill_actor(pool)
        if store is not None and not is_lost:
            kill_actor(store)
        if self._owns_cluster:
            ray.shutdown()
            self._owns_cluster = False
        self._within.close()

    def renew(self) -> None:
        """End all gangs, so that whatever runs next has workers that have done nothing yet; between rounds only."""
        old = self.pool
        with self.losses_told():
            answer_of(old.shut_down.remote(), timeout_s=LEAVE_TIMEOUT_S)
            kill_actor(old)
            self._pool = start_pool(self.resources, self._keep_idle_s)

    @contextlib.contextmanager
    def losses_told(self) -> Iterator[None]:
        """Within it whatever is raised while the cluster is lost is told as that.

        Raises:
            RunError: the cluster is lost.
        """
        try:
            yield
        except Exception as error:
            what = None if self._cluster is None else self._cluster.lost_with(error)
            if what is None:
                raise
            raise RunError(
                f"The Ray cluster is lost: {what}; what was recorded is kept, so mend or start the cluster, and run "
                "this again to go on."
            ) from None

    @property
    def pool(self) -> PoolHandle:
        """The pool's actor.

        Raises:
            RunError: outside the ``with`` block.
        """
        if self._pool is None:
            raise RunError("Gangs work inside their `with` block only; enter it first.")
        return self._pool

    def preparation(self, workload: bytes | None, *, label: str, pipeline: InputPipeline) -> Preparation:
        """How a round's examples are read for all gangs.

        Args:
            workload: pickled, where it preprocesses examples; else None.
            label: the column of labels.
        """
        return Preparation(
            self._living_store(),
            workload,
            label,
            num_cpus=self.resources.pipeline_cpus,
            num_gangs=self.capacity(),
            node_bytes=smallest_object_store_bytes(),
            pipeline=pipeline,
        )

    def _living_store(self) -> StoreHandle:
        """The store of examples, or another in its place: what it held is read anew."""
        if self._store is None:
            raise RunError("Gangs work inside their `with` block only; enter it first.")
        try:
            answer_of(self._store.__ray_ready__.remote(), timeout_s=ANSWER_TIMEOUT_S)
        except ray.exceptions.RayActorError:
            self._store = start_store()
        return self._store

    def capacity(self) -> int:
        """How many gangs the cluster holds now, or may grow to."""
        return num_gangs_in_all(self.resources)

    def facts(self) -> list[GangFacts]:
        """The gangs as they are now."""
        return answer_of(self.pool.gangs.remote(), timeout_s=ANSWER_TIMEOUT_S)

    def try_out(self, context: RoundContext, spec: TrialSpec) -> AttemptEnd:
        """Run one trial that is not recorded, and say how it ended.

        Raises:
            RunError: no gang could be had.
        """
        pool = self.pool
        answer_of(pool.try_out.remote(context.round_id, spec), timeout_s=ANSWER_TIMEOUT_S)
        while True:
            ended = answer_of(pool.tried_out.remote(context.round_id, spec), timeout_s=ANSWER_TIMEOUT_S)
            if not isinstance(ended, NothingYet):
                return ended
            news = answer_of(pool.news.remote(context.round_id, 0, 1), timeout_s=ANSWER_TIMEOUT_S)
            if news.failure:
                raise RunError(f"The round did not start: {news.failure}.")
