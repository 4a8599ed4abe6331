"""Asks every node of a cluster, each question with a deadline: a sick node costs time, and no more."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.cluster.calls import RemoteMethod, answer_of, answers_of, kill_actor
from raytune_playbook.engine.cluster.node_health import draining_nodes
from raytune_playbook.engine.cluster.ray_internals import free_amounts, lost_hosts, wants_token
from raytune_playbook.engine.doctor.examiner import Examiner, Meeting, Reduced
from raytune_playbook.engine.doctor.facts import (
    ClusterFacts,
    LinkFacts,
    NodeFacts,
    Seen,
    SilentNode,
    StorageFacts,
)
from raytune_playbook.engine.doctor.versions import packages, versions

START_S = 90.0
"""A worker process of Ray's starts, and imports torch."""

STORAGE_S = 60.0
MEETING_S = 30.0
CLOCK_S = 5.0
NUM_CLOCK_READINGS = 5

STORE = "object_store_memory"
"""Ray's name for the size of an object store."""

Answer = TypeVar("Answer")


class ExaminerHandle(Protocol):
    """A handle to an `Examiner`; what each method does is said there."""

    now_s: RemoteMethod[[], float]
    look: RemoteMethod[[str, Sequence[str]], Seen]
    write: RemoteMethod[[str, str, bytes], str | None]
    read: RemoteMethod[[str, Sequence[str]], list[bytes | None]]
    clean: RemoteMethod[[str, str], None]
    free_port: RemoteMethod[[], int]
    reduce: RemoteMethod[[Meeting, int], list[Reduced]]


@dataclass(frozen=True)
class Examined:
    """A node and who examines it.

    Fields:
        node: as `ray.nodes` tells of it.
    """

    name: str
    address: str
    node_id: str
    amounts: Mapping[str, float]
    examiner: ExaminerHandle


@dataclass(frozen=True)
class Clock:
    """By how much a node's clock is ahead of this one, give or take how much."""

    ahead_s: float
    error_s: float


def gather(storage: str) -> ClusterFacts:
    """What is to be seen of the cluster that this process is connected to.

    Args:
        storage: a path or URI that all nodes should reach.
    """
    alive = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: str(node["NodeManagerHostname"]))
    draining, compared = draining_nodes(), packages()
    with _examiners(alive) as examined:
        asked = {each.node_id: each.examiner.look.remote(each.address, compared) for each in examined}
        looks, whys = _answers(asked, START_S)
        free = free_amounts()
        clocks, gone = _clocks([each for each in examined if each.node_id in looks])
        whys |= gone
        answering = [each for each in examined if each.node_id in clocks]
        return ClusterFacts(
            nodes=[_node_facts(each, free, looks[each.node_id], clocks[each.node_id]) for each in answering],
            silent=[SilentNode(each.name, whys[each.node_id]) for each in examined if each.node_id in whys],
            own_versions=versions(compared),
            dead=lost_hosts(),
            draining=[node["NodeManagerHostname"] for node in alive if node["NodeID"] in draining],
            wants_token=wants_token(ray.get_runtime_context().gcs_address),
            storage=_try_storage(storage, answering),
            link=_try_link(answering, looks),
        )


@contextlib.contextmanager
def _examiners(nodes: Sequence[Mapping[str, Any]]) -> Iterator[list[Examined]]:
    """One on each node."""
    started: list[Examined] = []
    try:
        started.extend(
            Examined(
                node["NodeManagerHostname"],
                node["NodeManagerAddress"],
                node["NodeID"],
                node["Resources"],
                _start_examiner(node["NodeID"]),
            )
            for node in nodes
        )
        yield started
    finally:
        for each in started:
            kill_actor(each.examiner)


def _start_examiner(node_id: str) -> ExaminerHandle:
    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=0)(Examiner).options(scheduling_strategy=there)
    return cast(ExaminerHandle, actor.remote())


def _answers(calls: Mapping[str, ray.ObjectRef[Answer]], timeout_s: float) -> tuple[dict[str, Answer], dict[str, str]]:
    """What was answered within the time, and why the others did not."""
    answers: dict[str, Answer] = {}
    whys: dict[str, str] = {}
    for key, answer in answers_of(calls, timeout_s=timeout_s):
        if isinstance(answer, ray.exceptions.RayError):
            whys[key] = _why(answer, timeout_s)
        else:
            answers[key] = answer
    return answers, whys


def _why(error: ray.exceptions.RayError, timeout_s: float) -> str:
    if isinstance(error, ray.exceptions.GetTimeoutError):
        return f"no answer within {timeout_s:.0f} s"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _node_facts(node: Examined, free: Mapping[str, Mapping[str, float]], seen: Seen, clock: Clock) -> NodeFacts:
    free_there = free.get(node.node_id, node.amounts)  # which leaves out what is used up
    return NodeFacts(
        name=node.name,
        address=node.address,
        clock_ahead_s=clock.ahead_s,
        clock_error_s=clock.error_s,
        object_store_bytes=int(node.amounts.get(STORE, 0)),
        object_store_free_bytes=int(free_there.get(STORE, 0)),
        num_gpus=int(node.amounts.get("GPU", 0)),
        seen=seen,
    )


def _clocks(nodes: Sequence[Examined]) -> tuple[dict[str, Clock], dict[str, str]]:
    """What the nodes' clocks say, and why some say nothing any more."""
    clocks: dict[str, Clock] = {}
    whys: dict[str, str] = {}
    for node in nodes:
        try:
            clocks[node.node_id] = min((_read_clock(node) for _ in range(NUM_CLOCK_READINGS)), key=lambda c: c.error_s)
        except ray.exceptions.RayError as error:
            whys[node.node_id] = _why(error, CLOCK_S)
    return clocks, whys


def _read_clock(node: Examined) -> Clock:
    asked_s = time.time()
    there_s = answer_of(node.examiner.now_s.remote(), timeout_s=CLOCK_S)
    answered_s = time.time()
    return Clock(there_s - (asked_s + answered_s) / 2, (answered_s - asked_s) / 2)


def _try_storage(uri: str, nodes: Sequence[Examined]) -> StorageFacts:
    """Each node writes a file and reads those of all others; nothing of it is left."""
    folder = f".doctor-{secrets.token_hex(4)}"
    paths = {node.node_id: f"{folder}/{node.node_id}" for node in nodes}
    contents = {node.node_id: secrets.token_bytes(64) for node in nodes}
    names = {node.node_id: node.name for node in nodes}
    calls = {
        node.node_id: node.examiner.write.remote(uri, paths[node.node_id], contents[node.node_id]) for node in nodes
    }
    try:
        written, refusals = _answers(calls, STORAGE_S)
        refusals |= {node_id: refusal for node_id, refusal in written.items() if refusal is not None}
        wrote = [node_id for node_id in written if node_id not in refusals]
        asked = {
            node.node_id: node.examiner.read.remote(uri, [paths[node_id] for node_id in wrote])
            for node in nodes
            if node.node_id not in refusals
        }
        read, silent = _answers(asked, STORAGE_S)
        unseen = {
            names[node_id]: [names[of] for of, content in zip(wrote, found, strict=True) if content != contents[of]]
            for node_id, found in read.items()
        }
    finally:
        _answers({node.node_id: node.examiner.clean.remote(uri, folder) for node in nodes}, STORAGE_S)
    return StorageFacts(
        uri=uri,
        refusals={names[node_id]: why for node_id, why in (refusals | silent).items()},
        unseen={name: others for name, others in unseen.items() if others},
    )


def _try_link(nodes: Sequence[Examined], looks: Mapping[str, Seen]) -> LinkFacts | None:
    """An all-reduce between the nodes that have GPUs, or all where no two have, or two processes of the only one."""
    if not nodes:
        return None
    with_gpus = [node for node in nodes if looks[node.node_id].num_gpus]
    backend, nodes = ("nccl", with_gpus) if len(with_gpus) > 1 else ("gloo", nodes)
    with contextlib.ExitStack() as more:
        examiners = [node.examiner for node in nodes]
        if len(examiners) == 1:
            second = _start_examiner(nodes[0].node_id)
            more.callback(kill_actor, second)
            examiners.append(second)
        num = len(examiners)
        try:
            port = answer_of(examiners[0].free_port.remote(), timeout_s=CLOCK_S)
        except ray.exceptions.RayError as error:
            return LinkFacts(backend, num, failure=_why(error, CLOCK_S))
        meeting = Meeting(backend, nodes[0].address, port, num, MEETING_S)
        calls = {str(rank): each.reduce.remote(meeting, rank) for rank, each in enumerate(examiners)}
        answers, whys = _answers(calls, START_S + 2 * MEETING_S)
    if whys:
        return LinkFacts(backend, num, failure=next(iter(whys.values())))
    slowest = max(answers.values(), key=lambda reduced: reduced[-1].took_s)
    return LinkFacts(
        backend,
        num,
        bytes_per_s=max(2 * (num - 1) / num * each.num_bytes / each.took_s for each in slowest),
        latency_s=slowest[0].took_s,
    )
