"""How many gangs fit, by hand-counted examples, and on a real cluster that grows."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray

from raytune_playbook import Gangs, InputError, Resources, RunError, run
from raytune_playbook.engine.cluster import capacity
from raytune_playbook.engine.cluster.capacity import (
    ClusterNodes,
    Node,
    cluster_nodes,
    num_gangs,
    num_gangs_in_all,
    require_local_cpus,
    require_one_gang,
)
from raytune_playbook.engine.cluster.ray_internals import NodeGroup, free_amounts
from raytune_playbook.engine.gang.state import GangState
from raytune_playbook.errors import CapacityError
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import RoundStore
from raytune_playbook.study.settings import GIB
from tests import forked_ray
from tests.waiting import wait_for


def cpus(*counts: float) -> list[Node]:
    return [Node({"CPU": count}) for count in counts]


@pytest.mark.parametrize(
    ("nodes", "resources", "expected"),
    [
        (cpus(2), Resources(num_workers=2, cpus_per_worker=0.5), 1),  # a laptop: one CPU is the pipeline's
        (cpus(2), Resources(num_workers=2, cpus_per_worker=1), 0),
        (cpus(3), Resources(num_workers=2, cpus_per_worker=1), 1),
        (cpus(1.9, 1.9), Resources(num_workers=1, cpus_per_worker=1.5), 1),
        (cpus(4, 4), Resources(num_workers=2, cpus_per_worker=3), 1),  # one gang over both nodes
        (cpus(4, 4), Resources(num_workers=1, cpus_per_worker=4), 1),
        (cpus(16), Resources(num_workers=1, cpus_per_worker=0.1), 150),
        (cpus(16), Resources(num_workers=1, cpus_per_worker=0.1, num_gangs=3), 3),
        (cpus(9), Resources(num_workers=2, cpus_per_worker=1, pipeline_cpus=4), 2),
        ([Node({"CPU": 9, "memory": 4 * GIB})], Resources(num_workers=1, memory_per_worker_gib=1.5), 2),
        ([Node({"CPU": 32, "GPU": 8})], Resources(num_workers=4, gpus_per_worker=1), 2),
        ([Node({"CPU": 8}, {"pool": "a"}), Node({"CPU": 64}, {"pool": "b"})],
         Resources(num_workers=1, node_labels={"pool": "a"}), 8),  # the pipeline's CPU comes from the other node
        ([Node({"CPU": 8, "GPU": 1, "accelerator_type:H100": 1}), Node({"CPU": 8, "GPU": 1})],
         Resources(num_workers=1, gpus_per_worker=1, accelerator_type="H100"), 1),
    ],
)  # fmt: skip
def test_gangs_workers_and_pipeline_are_counted_together(nodes, resources, expected):
    assert num_gangs(nodes, resources) == expected


@pytest.mark.parametrize(
    ("nodes", "resources", "missing"),
    [
        (
            cpus(2),
            Resources(num_workers=4),
            r"4 worker\(s\) needs 4 CPUs, beside 1 CPU .* the cluster has 2 CPUs on 1 node",
        ),
        (cpus(8), Resources(num_workers=1, gpus_per_worker=1), "needs 1 CPU, 1 GPU, .* has 8 CPUs, 0 GPUs"),
        (cpus(8), Resources(num_workers=1, accelerator_type="H100"), "accelerators of type H100.*no H100"),
        (cpus(8), Resources(num_workers=1, node_labels={"pool": "x"}), r"labels \{'pool': 'x'\}.*0 CPUs on 0 node"),
        ([Node({"CPU": 8, "memory": GIB})], Resources(memory_per_worker_gib=2), "2.0 GiB of memory.*1.0 GiB of memory"),
    ],
)
def test_what_can_never_fit_is_refused_in_one_sentence_that_names_what_is_missing(nodes, resources, missing):
    with pytest.raises(InputError, match=missing) as refused:
        require_one_gang(ClusterNodes(nodes, grows=False), resources)
    assert "\n" not in str(refused.value)


def test_what_this_machines_cpus_never_hold_is_refused_before_ray_starts(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    require_local_cpus(Resources(num_workers=3, gpus_per_worker=8, node_labels={"zone": "a"}))  # Ray knows the rest
    with pytest.raises(CapacityError, match="needs 4 CPUs, beside 1 CPU for the input pipeline, but the cluster has 4"):
        require_local_cpus(Resources(num_workers=4))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    require_local_cpus(Resources(num_workers=2, cpus_per_worker=0.5))


def test_more_workers_than_the_cluster_holds_are_refused_before_anything_is_written(
    cluster, make_round, tmp_path, quiet
):
    round_ = make_round("too_large", resources=Resources(num_workers=16))
    with pytest.raises(InputError, match="16 worker"):
        run(round_, storage=str(tmp_path), console=quiet)
    assert list(tmp_path.iterdir()) == []


def test_a_round_waits_for_room_as_long_as_it_was_told_and_then_says_so(gangs, make_round, tmp_path, quiet):
    # The shared gangs hold four of the seven CPUs once they have run something, so that five are not to be had.
    run(make_round("fills"), storage=str(tmp_path), gangs=gangs, console=quiet)
    resources = Resources(num_workers=1, cpus_per_worker=5, wait_for_nodes_s=6)
    with pytest.raises(RunError, match=r"no gang of 1 worker\(s\) could start within 6 s|did not start within 6 s"):
        run(make_round("waits", resources=resources), storage=str(tmp_path), console=quiet)
    assert not (tmp_path / "waits").exists()
    # Nothing waits on for the five CPUs, to take them as soon as they are free.
    wait_for(lambda: all({"CPU": 5.0} not in bundles for bundles in wanted_bundles()))


def test_with_an_autoscaler_capacity_is_what_the_cluster_may_grow_to(cluster, monkeypatch):
    grown = [NodeGroup({"CPU": 16, "GPU": 4}, max_nodes=2)]
    monkeypatch.setattr(capacity, "node_groups", lambda: grown)
    cluster_now = cluster_nodes()
    nodes = cluster_now.nodes
    assert cluster_now.grows
    assert num_gangs(nodes, Resources(num_workers=4, gpus_per_worker=1)) == 2
    assert num_gangs(nodes, Resources(num_workers=1, cpus_per_worker=16)) == 2  # whole nodes, not their sum
    # A planned node's labels are known when it is there.
    assert num_gangs(nodes, Resources(num_workers=1, node_labels={"pool": "any"})) == 32
    with pytest.raises(InputError, match=r"the cluster can grow to .* 8 GPUs"):
        require_one_gang(cluster_now, Resources(num_workers=9, gpus_per_worker=1))
    grown[0] = NodeGroup({"GPU": 1, "CPU": 1}, max_nodes=None)
    assert num_gangs_in_all(Resources(num_workers=1, gpus_per_worker=1)) == capacity.MAX_NODES_PER_GROUP
    grown.clear()
    assert not cluster_nodes().grows


def test_gangs_join_as_nodes_join_and_idle_ones_give_their_resources_back(cluster, make_round, tmp_path, quiet):
    # Each worker wants a label that only the added nodes have, so that the shared gangs are out of the way.
    resources = Resources(num_workers=2, cpus_per_worker=1, node_labels={"pool": "joining"}, wait_for_nodes_s=120)
    nodes = [cluster.add_node(num_cpus=2, labels={"pool": "joining"}, **forked_ray.NODE)]
    try:
        with Gangs(resources, keep_idle_s=0) as session, ThreadPoolExecutor() as threads:
            # Two of three trials wait until they are told to go on: both gangs have one then, and later only one has.
            marks = tmp_path / "marks"
            marks.mkdir()
            holds = [marks / f"hold-{position}" for position in range(2)]
            for hold in holds:
                hold.touch()
            round_ = make_round(
                "grows", trials_per_study=3, fault="hold", broken=(1, 2), marker=str(marks), resources=resources
            )
            running = threads.submit(run, round_, storage=str(tmp_path), gangs=session, console=quiet)
            try:
                # Tune may start them in any order.
                wait_for(lambda: states(session) == [GangState.BUSY] and started(tmp_path / "grows") & {1, 2})
                nodes.append(cluster.add_node(num_cpus=2, labels={"pool": "joining"}, **forked_ray.NODE))
                wait_for(lambda: states(session) == [GangState.BUSY, GangState.BUSY])
                holds[0].unlink()
                wait_for(lambda: states(session) == [GangState.BUSY])  # the other gang has nothing more to do
            finally:
                for hold in holds:
                    hold.unlink(missing_ok=True)
            trials = running.result().trials
            assert trials["outcome"].to_pylist() == ["completed"] * 3
            assert len({attempt["gang"] for trial in trials["attempts"].to_pylist() for attempt in trial}) == 2
            wait_for(lambda: session.facts() == [])
            wait_for(lambda: [free_cpus(node.node_id) for node in nodes] == [2, 2])
    finally:
        for node in nodes:
            cluster.remove_node(node)


def states(session: Gangs) -> list[GangState]:
    return [gang.state for gang in session.facts()]


def started(folder: Path) -> set[int]:
    """The trials of a round that run or have run."""
    store = RoundStore(Storage(str(folder.parent)), folder.name)
    return {row["index"] for row in store.trials().to_pylist() if row["attempts"]} if store.exists() else set()


def wanted_bundles() -> list[list[dict[str, float]]]:
    """Of all placement groups that have not been removed."""
    groups = ray.util.placement_group_table().values()
    return [list(group["bundles"].values()) for group in groups if group["state"] != "REMOVED"]


def free_cpus(node_id: str) -> float:
    return free_amounts()[node_id].get("CPU", 0.0)
