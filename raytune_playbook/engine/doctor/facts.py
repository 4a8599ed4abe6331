"""What was seen of a cluster, before anyone judges it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad what was seen is."""

    OK = "ok"
    LOOK = "look"
    """Rounds run, but slowly or not safely."""
    WRONG = "wrong"
    """Rounds fail, or will."""


@dataclass(frozen=True)
class Diagnosis:
    """One line of what the doctor says.

    Fields:
        subject: what was looked at, in a word or two.
        sentence: what was seen; where that is not well, also what to do.
    """

    level: Level
    subject: str
    sentence: str


@dataclass(frozen=True)
class Seen:
    """What a process sees of the node that it runs on.

    Fields:
        versions: of Python and of each package, by name; None for one that is not installed.
        disk_path: where Ray keeps its logs and spills objects.
        shm_bytes: the size of the shared memory that the object store lies in; None where there is no /dev/shm.
        num_gpus: as torch counts them.
        interface: the network interface that has the address at which Ray reaches the node; None where none has.
        gloo_interface: the one that GLOO_SOCKET_IFNAME names.
        name_resolves_to: the address of its host name there, which gloo takes unless told; None where it has none.
    """

    versions: Mapping[str, str | None]
    memory_bytes: int
    memory_free_bytes: int
    disk_path: str
    disk_bytes: int
    disk_free_bytes: int
    shm_bytes: int | None
    num_gpus: int
    interface: str | None
    gloo_interface: str | None
    name_resolves_to: str | None


@dataclass(frozen=True)
class NodeFacts:
    """A node that answers.

    Fields:
        name: its host name.
        address: at which Ray reaches it.
        clock_ahead_s: of the driver's clock, give or take ``clock_error_s``.
        object_store_bytes, object_store_free_bytes: as Ray counts them.
        num_gpus: as Ray counts them.
    """

    name: str
    address: str
    clock_ahead_s: float
    clock_error_s: float
    object_store_bytes: int
    object_store_free_bytes: int
    num_gpus: int
    seen: Seen


@dataclass(frozen=True)
class SilentNode:
    """A node that Ray counts as alive and that said nothing, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class StorageFacts:
    """What the nodes saw of a storage in which each of them wrote a file.

    Fields:
        refusals: what kept a node from writing, by its name.
        unseen: by a node's name, whose files it could not read back.
    """

    uri: str
    refusals: Mapping[str, str]
    unseen: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class LinkFacts:
    """A real all-reduce between one process on each node, or two where there is but one node.

    Fields:
        backend: NCCL between the nodes that have GPUs, where several have; else gloo between all.
        failure: what kept it from ending; the other fields are zero then.
        bytes_per_s: through each process, as NCCL's tests count the bus bandwidth: 2 (n - 1) / n times what is reduced.
        latency_s: of the smallest all-reduce.
    """

    backend: str
    num_processes: int
    failure: str | None = None
    bytes_per_s: float = 0.0
    latency_s: float = 0.0


@dataclass(frozen=True)
class ClusterFacts:
    """All of it.

    Fields:
        own_versions: the driver's, as `Seen.versions`.
        dead: names of the hosts that were lost, and are not back.
        draining: names of nodes that are about to be taken away.
        wants_token: whether the cluster's controller refuses who sends no token; None where it did not answer.
        link: None where no node answers.
    """

    nodes: Sequence[NodeFacts]
    silent: Sequence[SilentNode]
    own_versions: Mapping[str, str | None]
    dead: Sequence[str]
    draining: Sequence[str]
    wants_token: bool | None
    storage: StorageFacts
    link: LinkFacts | None
