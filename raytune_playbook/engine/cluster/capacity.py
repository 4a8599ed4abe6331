"""How many gangs a cluster holds: workers, the input pipeline and helpers counted together.

Pure functions over the nodes' resources, and one that reads them from Ray. A gang's helpers (Train's controller and its
watchers, our host) ask for no CPU but take about 0.65 GB on the node of the driver.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ray

from raytune_playbook.engine.cluster.node_health import draining_nodes
from raytune_playbook.engine.cluster.ray_internals import HEAD, free_amounts, node_groups
from raytune_playbook.errors import CapacityError
from raytune_playbook.study.settings import GIB, Resources

MAX_GANGS = 1024
MAX_NODES_PER_GROUP = 256
"""What an autoscaler's group without a limit counts for."""


@dataclass(frozen=True)
class Node:
    """What one node offers.

    Fields:
        amounts: by Ray's names (CPU, GPU, memory in bytes, accelerator_type:...).
        is_planned: the autoscaler may add it; its labels and accelerator type are known when it is there.
    """

    amounts: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    is_planned: bool = False


@dataclass(frozen=True)
class ClusterNodes:
    """The nodes that the cluster has, or may grow to.

    Fields:
        grows: an autoscaler may add some of them.
    """

    nodes: list[Node]
    grows: bool


def bundle(resources: Resources) -> dict[str, float]:
    """What one worker asks of a node, by Ray's names."""
    amounts = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        amounts["GPU"] = resources.gpus_per_worker
    if resources.memory_per_worker_gib:
        amounts["memory"] = resources.memory_per_worker_gib * GIB
    if resources.accelerator_type:
        amounts[f"accelerator_type:{resources.accelerator_type}"] = 0.001
    return amounts


def num_gangs(nodes: Sequence[Node], resources: Resources) -> int:
    """How many whole gangs fit beside the pipeline's CPUs, at most ``resources.num_gangs``.

    Counts workers that fit on each node; a packed gang may span nodes, and so may a spread one, which Ray places on as
    many nodes as it can.
    """
    wanted = bundle(resources)
    workers = sum(_num_bundles(node, wanted) for node in _usable(_less_pipeline(nodes, resources), resources))
    gangs = min(workers // resources.num_workers, MAX_GANGS)
    return gangs if resources.num_gangs is None else min(gangs, resources.num_gangs)


def require_one_gang(cluster: ClusterNodes, resources: Resources) -> None:
    """Refuse what the cluster can never hold.

    Raises:
        CapacityError: not even one gang fits; the message says what is missing.
    """
    if num_gangs(cluster.nodes, resources) >= 1:
        return
    usable = _usable(cluster.nodes, resources)
    wanted = bundle(resources)
    asked = ", ".join(f"{_amount(name, amount * resources.num_workers)}" for name, amount in wanted.items())
    has = ", ".join(_amount(name, sum(node.amounts.get(name, 0.0) for node in usable)) for name in wanted)
    where = f" on nodes with labels {resources.node_labels}" if resources.node_labels else ""
    most = "can grow to" if cluster.grows else "has"
    raise CapacityError(
        f"Resources: one gang of {resources.num_workers} worker(s) needs {asked}{where}, beside "
        f"{resources.pipeline_cpus} CPU for the input pipeline, but the cluster {most} {has} on {len(usable)} node(s); "
        "ask for fewer or smaller workers, or add nodes."
    )


def local_cpus() -> int:
    """The CPUs of a cluster on this machine: one runs a gang of small workers and the other the pipeline, at least."""
    return max(2, len(os.sched_getaffinity(0)))


def require_local_cpus(resources: Resources) -> None:
    """Refuse, before Ray starts on this machine, what its CPUs can never hold; the rest Ray finds out.

    Raises:
        CapacityError: not even one gang fits.
    """
    others: dict[str, object] = {"gpus_per_worker": 0, "memory_per_worker_gib": None, "accelerator_type": None}
    this_machine = ClusterNodes([Node({"CPU": local_cpus()})], grows=False)
    require_one_gang(this_machine, resources.model_copy(update={**others, "node_labels": {}}))


def cluster_nodes() -> ClusterNodes:
    """The nodes that the cluster has, or may grow to where an autoscaler says so.

    A node that is being drained counts no more. Needs a connection to Ray.
    """
    alive = _staying_nodes()
    groups = node_groups()
    if not groups:
        return ClusterNodes([Node(node["Resources"], node.get("Labels") or {}) for node in alive], grows=False)
    # The groups at their largest replace the workers that there are; the head is in no group.
    heads = [Node(node["Resources"], node.get("Labels") or {}) for node in alive if HEAD in node["Resources"]]
    grown = [
        Node(group.amounts, is_planned=True)
        for group in groups
        for _ in range(MAX_NODES_PER_GROUP if group.max_nodes is None else group.max_nodes)
    ]
    return ClusterNodes([*heads, *grown], grows=True)


def num_gangs_in_all(resources: Resources) -> int:
    """How many gangs the whole cluster holds, or may grow to."""
    return num_gangs(cluster_nodes().nodes, resources)


def num_gangs_now(resources: Resources) -> int:
    """How many gangs what is free now holds; ``resources.num_gangs`` limits all gangs, and not these."""
    free = free_amounts()
    nodes = [Node(free.get(node["NodeID"], {}), node.get("Labels") or {}) for node in _staying_nodes()]
    return num_gangs(nodes, resources.model_copy(update={"num_gangs": None}))


def nodes_for_workers(resources: Resources) -> list[str]:
    """The ids of nodes that are large enough for a worker, and have the labels that it asks for."""
    wanted = bundle(resources)
    nodes = {node["NodeID"]: Node(node["Resources"], node.get("Labels") or {}) for node in _staying_nodes()}
    return [node_id for node_id, node in nodes.items() if _usable([node], resources) and _num_bundles(node, wanted)]


def smallest_object_store_bytes() -> int:
    """The object store of the node that has the smallest one, which may have to hold a copy of the examples."""
    return min(int(node["Resources"].get("object_store_memory", 0)) for node in _staying_nodes())


def _staying_nodes() -> list[dict[str, Any]]:
    draining = draining_nodes()
    return [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in draining]


def _usable(nodes: Sequence[Node], resources: Resources) -> list[Node]:
    wanted = resources.node_labels.items()
    return [node for node in nodes if node.is_planned or all(node.labels.get(name) == value for name, value in wanted)]


def _less_pipeline(nodes: Sequence[Node], resources: Resources) -> list[Node]:
    """The nodes with the pipeline's CPUs taken from where they hurt the gangs least."""
    wanted = bundle(resources)

    def cost(node: Node) -> tuple[int, float]:
        lost = _num_bundles(node, wanted) - _num_bundles(_minus_cpus(node, 1), wanted)
        return (lost if _usable([node], resources) else 0, -node.amounts.get("CPU", 0.0))

    remaining = list(nodes)
    for _ in range(resources.pipeline_cpus):
        whole = [node for node in remaining if node.amounts.get("CPU", 0.0) >= 1]
        if not whole:
            return []
        chosen = min(whole, key=cost)
        remaining[remaining.index(chosen)] = _minus_cpus(chosen, 1)
    return remaining


def _minus_cpus(node: Node, cpus: float) -> Node:
    return replace(node, amounts={**node.amounts, "CPU": node.amounts.get("CPU", 0.0) - cpus})


def _num_bundles(node: Node, wanted: Mapping[str, float]) -> int:
    # Ray counts resources in ten-thousandths; so do we, lest 0.1 x 3 exceed 0.3.
    return min(
        round(node.amounts.get(name, 0.0) * 10_000) // max(1, round(amount * 10_000))
        for name, amount in wanted.items()
        if not (node.is_planned and name.startswith("accelerator_type:"))
    )


def _amount(name: str, amount: float) -> str:
    if name == "memory":
        return f"{amount / GIB:.1f} GiB of memory"
    if name.startswith("accelerator_type:"):
        return f"accelerators of type {name.partition(':')[2]}" if amount >= 0.001 else f"no {name.partition(':')[2]}"
    return f"{amount:g} {name}" + ("s" if amount != 1 else "")
