"""The one door to Ray's private and undocumented names: an upgrade of Ray is this file's work.

tests/engine/cluster/test_ray_internals.py says of each what we rely on, and fails when Ray changes it; a test there
keeps these names out of all other modules. Whoever needs another one adds a function here, and its test there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

import grpc
import ray
import ray._private.auto_init_hook as auto_init
import ray._private.worker as ray_worker
import tenacity
from ray._common.utils import get_system_memory
from ray._private.grpc_utils import init_grpc_channel
from ray._private.services import canonicalize_bootstrap_address
from ray._private.utils import get_used_memory
from ray.core.generated.common_pb2 import NodeDeathInfo  # type: ignore[attr-defined] # made when imported
from ray.core.generated.gcs_pb2 import (  # type: ignore[attr-defined] # likewise
    ActorTableData,
    PlacementGroupTableData,
)
from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # type: ignore[attr-defined] # likewise
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
from ray.exceptions import AuthenticationError
from ray.util.placement_group import PlacementGroup

from raytune_playbook.errors import RunError

HEAD = "node:__internal_head__"
"""The resource that the head node alone has."""

SLOW_START = "timed out during startup"
NUM_STARTS = 3

PROBE_S = 10.0

LOCAL_CLUSTER = {"free_objects_period_milliseconds": 100}
"""``_system_config`` of a cluster that we start ourselves: Ray frees what nobody holds any more once a second, in which
a fast stream makes several windows."""

TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a dead worker is noticed this soon
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where they are
    "RAY_TRAIN_METRICS_ENABLED": "0",  # nothing is reported through Train
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # trials print to log files of their own
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # hosts look for drains themselves
}
"""Environment of the process that calls `TorchTrainer.fit()`."""

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our own records replace Tune's CSV, JSON and TensorBoard files
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune's state is scratch
    "TUNE_MAX_PENDING_TRIALS_PG": "1024",  # by itself Tune has only as many actors start at once as its searcher allows
    "RAY_AIR_NEW_OUTPUT": "0",  # `verbose=0` is silent in Tune's older output alone
}
"""Environment of the process that calls `Tuner.fit()`."""


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of one kind that an autoscaler may add.

    Fields:
        amounts: of each, by Ray's names.
        max_nodes: None where the group has no limit.
    """

    amounts: Mapping[str, float]
    max_nodes: int | None


@dataclass(frozen=True)
class AskedFor:
    """A placement group that has not been removed, and who asked for it.

    Fields:
        job_id: of the job that it belongs to, as hexadecimal text.
        by_dead_actor: an actor asked for it, and is dead.
        is_detached: it outlives its creator and its job.
    """

    group: PlacementGroup
    job_id: str
    by_dead_actor: bool
    is_detached: bool


def node_groups() -> list[NodeGroup]:
    """What the cluster's autoscaler has reported; none where there is no autoscaler."""
    config = ray._private.state.state.get_cluster_config()
    groups = list(config.node_group_configs) if config is not None else []
    return [NodeGroup(dict(each.resources), each.max_count if each.max_count >= 0 else None) for each in groups]


def free_amounts() -> Mapping[str, Mapping[str, float]]:
    """What is free now on each node, by its id and Ray's names."""
    free: dict[str, dict[str, float]] = ray._private.state.available_resources_per_node()
    return free


def draining_nodes() -> set[str]:
    """Nodes that are about to be taken away, as `ray drain-node` or an autoscaler has announced."""
    return set(ray._private.state.state.get_draining_nodes())


def placement_groups() -> list[AskedFor]:
    """All placement groups of the cluster; the public table does not tell who asked for one."""
    accessor = ray._private.state.state._connect_and_get_accessor()
    groups = [PlacementGroupTableData.FromString(content) for content in accessor.get_placement_group_table()]
    return [_asked_for(group) for group in groups if group.state != PlacementGroupTableData.REMOVED]


def _asked_for(group: PlacementGroupTableData) -> AskedFor:
    # What a driver has made (Tune's, the user's) has no creating actor, which Ray marks as dead too.
    by_actor = bool(group.creator_actor_id) and not ray.ActorID(group.creator_actor_id).is_nil()
    # Ray marks what is there when the actor dies, and not what arrives from its process after that.
    by_dead_actor = by_actor and (group.creator_actor_dead or _is_dead(ray.ActorID(group.creator_actor_id)))
    return AskedFor(
        PlacementGroup(ray.PlacementGroupID(group.placement_group_id)),
        job_id=group.creator_job_id.hex(),
        by_dead_actor=by_dead_actor,
        is_detached=group.is_detached,
    )


def _is_dead(actor: ray.ActorID) -> bool:
    content = ray._private.state.state._connect_and_get_accessor().get_actor_info(actor)
    return content is not None and ActorTableData.FromString(content).state == ActorTableData.DEAD


@contextlib.contextmanager
def raylet_silenced() -> Iterator[None]:
    """The raylet's remarks (many processes on few cores, say) are not printed; they stand in Ray's own logs.

    They are printed by a thread of Ray's that knows no logger.
    """
    shows_raylet = ray_worker._worker_logs_enabled
    ray_worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray_worker._worker_logs_enabled = shows_raylet


class Probe(Enum):
    """What was found where a Ray cluster should be."""

    ANSWERS = auto()
    REFUSES_TOKEN = auto()
    SILENT = auto()


def probe(address: str) -> Probe:
    """Ask what is at an address whether it lives, as `ray.init` would, but for a shorter time and without chatter."""
    found = canonicalize_bootstrap_address(address)
    if found is None:  # "auto", where this machine has none
        return Probe.SILENT
    try:
        with init_grpc_channel(found) as channel:
            NodeInfoGcsServiceStub(channel).CheckAlive(CheckAliveRequest(), timeout=PROBE_S, wait_for_ready=True)
    except AuthenticationError:  # none is found, though one should be sent
        return Probe.REFUSES_TOKEN
    except grpc.RpcError as error:
        refusals = {
            grpc.StatusCode.UNAUTHENTICATED: Probe.REFUSES_TOKEN,
            grpc.StatusCode.UNAVAILABLE: Probe.SILENT,
            grpc.StatusCode.DEADLINE_EXCEEDED: Probe.SILENT,
        }
        return refusals.get(error.code(), Probe.ANSWERS)
    return Probe.ANSWERS


@dataclass(frozen=True)
class OtherVersions:
    """A cluster that a process cannot join, for its versions of Ray and Python are others."""

    of_cluster: tuple[str, str]
    of_process: tuple[str, str]


def other_versions(error: BaseException) -> OtherVersions | None:
    """What `ray.init` says where a cluster's versions are others; Ray has no type for that error."""
    found = re.findall(r"Ray: (\S+)\s+Python: (\S+)", str(error)) if "Version mismatch" in str(error) else []
    return OtherVersions(found[0], found[1]) if len(found) == 2 else None


def wants_token(address: str) -> bool | None:
    """Whether a cluster's controller refuses who sends no token; None where it does not answer."""
    try:
        with grpc.insecure_channel(address) as channel:
            NodeInfoGcsServiceStub(channel).CheckAlive(CheckAliveRequest(), timeout=PROBE_S, wait_for_ready=True)
    except grpc.RpcError as error:
        return True if error.code() == grpc.StatusCode.UNAUTHENTICATED else None
    return False


def session_folder() -> str:
    """Where Ray keeps its logs, and spills objects, on the node of this process.

    Raises:
        RuntimeError: this process is not connected to Ray.
    """
    if (node := ray_worker.global_worker.node) is None:
        raise RuntimeError("this process is not connected to Ray")
    folder: str = node.get_session_dir_path()
    return folder


@dataclass(frozen=True)
class Memory:
    """Of a machine, or of the container that it is."""

    total_bytes: int
    used_bytes: int


def memory_of_node() -> Memory:
    """As Ray's memory monitor counts it on the node of this process."""
    return Memory(get_system_memory(), get_used_memory())


def lost_hosts() -> list[str]:
    """Names of hosts whose node was lost, and that have no living one: none that was stopped, drained or idle."""
    nodes = ray.nodes()
    alive = {node["NodeManagerHostname"] for node in nodes if node["Alive"]}
    lost = [node for node in nodes if node["DeathReason"] == NodeDeathInfo.UNEXPECTED_TERMINATION]
    return sorted({node["NodeManagerHostname"] for node in lost} - alive)


@contextlib.contextmanager
def automatic_start_off() -> Iterator[None]:
    """Where no Ray runs, its functions raise `RaySystemError`, instead of starting a cluster that nobody asked for."""
    allowed = auto_init.enable_auto_connect
    auto_init.enable_auto_connect = False
    try:
        yield
    finally:
        auto_init.enable_auto_connect = allowed


def start_local_cluster(*, num_cpus: int, logging_level: int) -> None:
    """Start a Ray cluster on this machine, and connect to it.

    Raises:
        RunError: the machine is too busy for it.
    """
    starting = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_slow_start), stop=tenacity.stop_after_attempt(NUM_STARTS), reraise=True
    )
    try:
        starting(
            ray.init,
            address="local",
            num_cpus=num_cpus,
            log_to_driver=False,
            logging_level=logging_level,
            _system_config=LOCAL_CLUSTER,
        )
    except Exception as error:
        if not _is_slow_start(error):
            raise
        raise RunError(
            f"A Ray cluster must start within 30 s on this machine, but did not in {NUM_STARTS} attempts; it is "
            "too busy, so try again later, or name a running cluster with --address."
        ) from None


def _is_slow_start(error: BaseException) -> bool:
    """Ray gives its node 30 s to start, and no type to the error that says that it took longer."""
    return SLOW_START in str(error)
