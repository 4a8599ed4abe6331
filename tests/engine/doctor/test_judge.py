"""What the doctor says of facts that are well, and of each that is not."""

from __future__ import annotations

import dataclasses

import pytest

from raytune_playbook.engine.doctor.facts import (
    ClusterFacts,
    Level,
    LinkFacts,
    NodeFacts,
    Seen,
    SilentNode,
    StorageFacts,
)
from raytune_playbook.engine.doctor.judge import judge
from raytune_playbook.engine.doctor.versions import OWN_CODE

VERSIONS = {
    "Python": "3.11.7",
    OWN_CODE: "0123456789ab",
    "raytune-playbook": "0.1.0",
    "ray": "2.60.0",
    "torch": "2.13.0",
}
URI = "/shared/rounds"
GB = 10**9


def node(name: str, address: str) -> NodeFacts:
    seen = Seen(
        versions=VERSIONS,
        memory_bytes=64 * GB,
        memory_free_bytes=50 * GB,
        disk_path="/tmp/ray/session",
        disk_bytes=200 * GB,
        disk_free_bytes=120 * GB,
        shm_bytes=32 * GB,
        num_gpus=8,
        interface="eth0",
        gloo_interface=None,
        name_resolves_to=address,
    )
    return NodeFacts(
        name=name,
        address=address,
        clock_ahead_s=0.002,
        clock_error_s=0.001,
        object_store_bytes=18 * GB,
        object_store_free_bytes=17 * GB,
        num_gpus=8,
        seen=seen,
    )


WELL = ClusterFacts(
    nodes=[node("head", "10.0.0.1"), node("one", "10.0.0.2")],
    silent=[],
    own_versions=VERSIONS,
    dead=[],
    draining=[],
    wants_token=True,
    storage=StorageFacts(URI, {}, {}),
    link=LinkFacts("nccl", 2, bytes_per_s=12 * GB, latency_s=0.0001),
)


def on_one(**fields: object) -> ClusterFacts:
    """The second node is other; fields of what its process sees go there."""
    seen = {name: value for name, value in fields.items() if name in {each.name for each in dataclasses.fields(Seen)}}
    first, second = WELL.nodes
    own = {name: value for name, value in fields.items() if name not in seen}
    other = dataclasses.replace(second, seen=dataclasses.replace(second.seen, **seen), **own)
    return dataclasses.replace(WELL, nodes=[first, other])


def all_of(**fields: object) -> ClusterFacts:
    return dataclasses.replace(WELL, **fields)


def test_a_cluster_that_is_well_has_one_line_of_each_subject():
    lines = judge(WELL)
    assert {line.level for line in lines} == {Level.OK}
    assert [line.subject for line in lines] == [
        *("nodes", "versions", "clocks", "memory", "disk", "object store", "GPUs", "interface"),
        *("all-reduce", "storage", "token"),
    ]
    said = {line.subject: line.sentence for line in lines}
    assert said["nodes"] == "2 nodes answer: head (10.0.0.1), one (10.0.0.2)."
    assert said["versions"] == "Python 3.11.7, ray 2.60.0, torch 2.13.0 and 2 more are the same here and on all nodes."
    # 2 x 1/2 x 400 MB at 12 GB/s
    assert "take 0.033 s a step" in said["all-reduce"]
    assert said["GPUs"] == "torch sees all 16 that Ray counts."


OTHER_TORCH = {**VERSIONS, "torch": "2.12.0"}

BROKEN: list[tuple[ClusterFacts, str, Level, str]] = [
    (all_of(silent=[SilentNode("two", "no answer within 90 s")]), "nodes", Level.WRONG, "two is in the cluster, but"),
    (all_of(dead=["three", "two"]), "nodes", Level.LOOK, "Lost, and not back: three, two; start Ray"),
    (all_of(draining=["one"]), "nodes", Level.LOOK, "About to be taken away: one;"),
    (
        on_one(versions=OTHER_TORCH),
        "versions",
        Level.WRONG,
        "torch is 2.13.0 here, but 2.12.0 on one; install the",
    ),
    (
        on_one(versions={**VERSIONS, "torch": None}),
        "versions",
        Level.WRONG,
        "torch is 2.13.0 here, but not installed on one",
    ),
    (
        on_one(versions={**VERSIONS, OWN_CODE: "ba9876543210"}),
        "versions",
        Level.WRONG,
        "ba9876543210 on one; install the same release or checkout on all",
    ),
    (on_one(clock_ahead_s=-3.5), "clocks", Level.LOOK, "The clock of one is 3.5 s behind this machine's"),
    (on_one(clock_ahead_s=1000.0), "clocks", Level.WRONG, "1000.0 s ahead of"),
    (on_one(memory_free_bytes=8 * GB), "memory", Level.LOOK, "one uses 88% of its 64.0 GB"),
    (on_one(memory_free_bytes=2 * GB), "memory", Level.WRONG, "one uses 97%"),
    (on_one(disk_free_bytes=12 * GB), "disk", Level.LOOK, "one has 12.0 GB left for /tmp/ray/session (94% used)"),
    (on_one(disk_free_bytes=2 * GB), "disk", Level.WRONG, "(99% used)"),
    (
        on_one(shm_bytes=64 * 2**20),
        "object store",
        Level.LOOK,
        "an object store of 18.0 GB, but 0.1 GB of shared",
    ),
    (on_one(object_store_free_bytes=3 * GB), "object store", Level.LOOK, "of 18.0 GB, of which 3.0 GB are free, so"),
    (on_one(num_gpus=0), "GPUs", Level.WRONG, "Ray counts 8 GPUs on one, but torch sees 0; install"),
    (on_one(num_gpus=9), "GPUs", Level.LOOK, "Ray counts 8 GPUs on one, but torch sees 9; start Ray there with more"),
    (on_one(name_resolves_to="127.0.1.1"), "interface", Level.WRONG, "start Ray there with GLOO_SOCKET_IFNAME=eth0."),
    (on_one(name_resolves_to="192.168.7.2"), "interface", Level.LOOK, "its host name resolves to 192.168.7.2, but"),
    (on_one(gloo_interface="docker0"), "interface", Level.LOOK, "GLOO_SOCKET_IFNAME is docker0, but"),
    (
        all_of(link=LinkFacts("gloo", 2, failure="timed out")),
        "all-reduce",
        Level.WRONG,
        "Gradients cannot be reduced between 2 nodes by gloo (timed out);",
    ),
    # 2 x 1/2 x 400 MB at 0.02 GB/s
    (all_of(link=LinkFacts("gloo", 2, bytes_per_s=2e7)), "all-reduce", Level.LOOK, "take 20 s a step, which is slow"),
    (all_of(storage=StorageFacts(URI, {"one": "Full."}, {})), "storage", Level.WRONG, "On one: Full."),
    (
        all_of(storage=StorageFacts(URI, {}, {"head": ["two"], "one": ["two"], "two": ["head", "one"]})),
        "storage",
        Level.WRONG,
        f"{URI} is not one folder for all nodes: head, one do not see what two wrote; two does not see what head, one "
        "wrote; name a folder",
    ),
    (all_of(wants_token=False), "token", Level.WRONG, "start it with RAY_AUTH_MODE=token"),
    (all_of(wants_token=None), "token", Level.LOOK, "did not answer whether it wants a token"),
]


@pytest.mark.parametrize(("facts", "subject", "level", "words"), BROKEN, ids=[f"{b[1]}-{b[3][:24]}" for b in BROKEN])
def test_what_is_broken_is_one_line_that_says_what_to_do(facts, subject, level, words):
    lines = judge(facts)
    (line,) = [line for line in lines if line.level is not Level.OK]
    assert (line.subject, line.level) == (subject, level)
    assert words in line.sentence
    assert "; " in line.sentence or subject == "storage"
    assert {each.subject for each in lines} == {each.subject for each in judge(WELL)}


def test_a_laptop_needs_no_token_no_interface_and_nobody_to_read_what_it_wrote():
    alone = node("laptop", "127.0.0.1")
    alone = dataclasses.replace(alone, seen=dataclasses.replace(alone.seen, name_resolves_to="192.168.7.2"))
    facts = all_of(nodes=[alone], wants_token=False, link=LinkFacts("gloo", 2, bytes_per_s=GB, latency_s=0.001))
    assert {line.level for line in judge(facts)} == {Level.OK}
    two = all_of(nodes=[alone, alone], wants_token=False)  # on one machine
    assert {line.level for line in judge(two)} == {Level.OK}
    silent = all_of(nodes=[alone], wants_token=None, link=LinkFacts("gloo", 2, bytes_per_s=GB, latency_s=0.001))
    assert [line.subject for line in judge(silent) if line.level is not Level.OK] == ["token"]


def test_a_clock_within_the_error_of_its_reading_is_not_blamed():
    assert {line.level for line in judge(on_one(clock_ahead_s=2.0, clock_error_s=1.5))} == {Level.OK}


def test_a_cluster_of_which_nothing_answers_says_that_alone_of_its_nodes():
    facts = all_of(nodes=[], silent=[SilentNode("head", "no answer within 90 s")], link=None)
    assert [(line.subject, line.level) for line in judge(facts) if line.level is not Level.OK] == [
        ("nodes", Level.WRONG)
    ]
