"""What the facts of a cluster mean for rounds, and what to do. Pure: facts in, lines out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address

from raytune_playbook.analysis.wording import form_for
from raytune_playbook.engine.doctor.facts import ClusterFacts, Diagnosis, Level, NodeFacts
from raytune_playbook.engine.doctor.versions import OWN_CODE

CLOCK_LOOK_S = 1.0
CLOCK_WRONG_S = 900.0
"""Beyond a quarter of an hour object stores refuse what was signed."""

MEMORY_LOOK, MEMORY_WRONG = 0.85, 0.95
"""Shares in use; above the second Ray ends workers."""

DISK_LOOK, DISK_WRONG = 0.90, 0.95
"""Shares in use; above the second Ray spills no more objects."""

SLOW_LINK_BYTES_PER_S = 100e6
"""Slower than an Ethernet of 1 Gbit/s."""

STORE_LOOK = 0.80
"""A share in use; above it Ray spills objects."""

GRADIENT_BYTES = 400e6
"""Of a model with 100 million parameters."""

GB = 1e9


def judge(facts: ClusterFacts) -> list[Diagnosis]:
    """One or more lines of each subject; a subject that is well has one.

    Args:
        facts: of the whole cluster.
    """
    per_node: list[tuple[str, Callable[[NodeFacts], Diagnosis | None], str]] = [
        ("clocks", _clock, _clocks_are_well(facts.nodes)),
        ("memory", _memory, _least("free", [node.seen.memory_free_bytes for node in facts.nodes])),
        ("disk", _disk, _least("free", [node.seen.disk_free_bytes for node in facts.nodes])),
        ("object store", _object_store, _least("free", [node.object_store_free_bytes for node in facts.nodes])),
        ("GPUs", _gpus, _gpus_are_well(facts.nodes)),
        ("interface", _interface, _interfaces_are_well(facts.nodes)),
    ]
    lines = [*_nodes(facts), *_versions(facts)]
    for subject, look, well in per_node if facts.nodes else []:
        alone = len({node.address for node in facts.nodes}) == 1
        found = [] if subject == "interface" and alone else [each for node in facts.nodes if (each := look(node))]
        lines += found or [Diagnosis(Level.OK, subject, well)]
    return [*lines, *_link(facts), *_storage(facts), _token(facts)]


def _nodes(facts: ClusterFacts) -> Iterable[Diagnosis]:
    for silent in facts.silent:
        yield Diagnosis(
            Level.WRONG,
            "nodes",
            f"{silent.name} is in the cluster, but nothing runs on it ({silent.why}); look into its Ray logs, or take "
            "it out.",
        )
    if facts.dead:
        yield Diagnosis(
            Level.LOOK,
            "nodes",
            f"Lost, and not back: {', '.join(facts.dead)}; start Ray there again, or look why the machine went.",
        )
    if facts.draining:
        names = ", ".join(facts.draining)
        yield Diagnosis(Level.LOOK, "nodes", f"About to be taken away: {names}; no trial is started there any more.")
    if not (facts.silent or facts.dead or facts.draining):
        listed = ", ".join(f"{node.name} ({node.address})" for node in facts.nodes)
        verb = form_for(len(facts.nodes), "answers", "answer")
        yield Diagnosis(
            Level.OK,
            "nodes",
            f"{_nodes_text(len(facts.nodes))} {verb}: {listed}.",
        )


def _versions(facts: ClusterFacts) -> Iterable[Diagnosis]:
    own = facts.own_versions
    differing = False
    for name, version in own.items():
        others: dict[str | None, list[str]] = {}
        for node in facts.nodes:
            if (there := node.seen.versions.get(name)) != version:
                others.setdefault(there, []).append(node.name)
        if not others:
            continue
        differing = True
        listed = ", ".join(f"{there or 'not installed'} on {', '.join(names)}" for there, names in others.items())
        what = "the same release or checkout" if name == OWN_CODE else "the versions of cluster/constraints.txt"
        yield Diagnosis(
            Level.WRONG,
            "versions",
            f"{name} is {version or 'not installed'} here, but {listed}; install {what} on all.",
        )
    if not differing:
        shown = ", ".join(f"{name} {own.get(name)}" for name in ("Python", "ray", "torch"))
        where = "here and on all nodes" if len(facts.nodes) > 1 else "here and on the node"
        yield Diagnosis(Level.OK, "versions", f"{shown} and {len(own) - 3} more are the same {where}.")


def _clock(node: NodeFacts) -> Diagnosis | None:
    off_s = abs(node.clock_ahead_s) - node.clock_error_s
    if off_s <= CLOCK_LOOK_S:
        return None
    way = "ahead of" if node.clock_ahead_s > 0 else "behind"
    return Diagnosis(
        Level.WRONG if off_s > CLOCK_WRONG_S else Level.LOOK,
        "clocks",
        f"The clock of {node.name} is {abs(node.clock_ahead_s):.1f} s {way} this machine's, so that times in records "
        "do not compare, and object stores refuse what is off by 15 min; run a time service (NTP) there.",
    )


def _clocks_are_well(nodes: Sequence[NodeFacts]) -> str:
    most_s = max((abs(node.clock_ahead_s) + node.clock_error_s for node in nodes), default=0.0)
    return f"All agree with this machine's to {max(0.001, most_s):.3f} s."


def _memory(node: NodeFacts) -> Diagnosis | None:
    used = 1 - node.seen.memory_free_bytes / node.seen.memory_bytes
    if used <= MEMORY_LOOK:
        return None
    return Diagnosis(
        Level.WRONG if used > MEMORY_WRONG else Level.LOOK,
        "memory",
        f"{node.name} uses {used:.0%} of its {node.seen.memory_bytes / GB:.1f} GB, and Ray ends workers above "
        f"{MEMORY_WRONG:.0%}; end what else runs there, or set Resources(memory_per_worker_gib=).",
    )


def _disk(node: NodeFacts) -> Diagnosis | None:
    used = 1 - node.seen.disk_free_bytes / node.seen.disk_bytes
    if used <= DISK_LOOK:
        return None
    return Diagnosis(
        Level.WRONG if used > DISK_WRONG else Level.LOOK,
        "disk",
        f"{node.name} has {node.seen.disk_free_bytes / GB:.1f} GB left for {node.seen.disk_path} ({used:.0%} used), "
        f"and Ray spills no objects above {DISK_WRONG:.0%}; make room, or start Ray with another --temp-dir.",
    )


def _object_store(node: NodeFacts) -> Diagnosis | None:
    shared, store = node.seen.shm_bytes, f"{node.name} has an object store of {node.object_store_bytes / GB:.1f} GB"
    if shared is not None and shared < node.object_store_bytes:
        sentence = (
            f"{store}, but {shared / GB:.1f} GB of shared memory, so that examples lie on its disk; give /dev/shm more "
            "room (--shm-size of a container)."
        )
    elif node.object_store_free_bytes < (1 - STORE_LOOK) * node.object_store_bytes:
        sentence = (
            f"{store}, of which {node.object_store_free_bytes / GB:.1f} GB are free, so that examples go to its disk "
            "when it is full; end what else keeps objects there, or start Ray with a larger --object-store-memory."
        )
    else:
        return None
    return Diagnosis(Level.LOOK, "object store", sentence)


def _gpus(node: NodeFacts) -> Diagnosis | None:
    if node.seen.num_gpus == node.num_gpus:
        return None
    counted = f"Ray counts {node.num_gpus} {form_for(node.num_gpus, 'GPU', 'GPUs')} on {node.name}, but torch sees"
    if node.seen.num_gpus < node.num_gpus:
        advice = "install torch's build for them and their driver, or start Ray there with the right --num-gpus"
        return Diagnosis(Level.WRONG, "GPUs", f"{counted} {node.seen.num_gpus}; {advice}.")
    advice = "start Ray there with more --num-gpus to use them all"
    return Diagnosis(Level.LOOK, "GPUs", f"{counted} {node.seen.num_gpus}; {advice}.")


def _gpus_are_well(nodes: Sequence[NodeFacts]) -> str:
    total = sum(node.num_gpus for node in nodes)
    return f"torch sees all {total} that Ray counts." if total else "There are none; workers compute on CPUs."


def _interface(node: NodeFacts) -> Diagnosis | None:
    seen = node.seen
    if seen.gloo_interface is not None:
        if seen.interface is None or seen.interface in seen.gloo_interface.split(","):
            return None
        why = f"GLOO_SOCKET_IFNAME is {seen.gloo_interface}"
    elif seen.name_resolves_to is None or seen.name_resolves_to == node.address:
        return None
    else:
        why = f"its host name resolves to {seen.name_resolves_to}"
    is_cut_off = seen.gloo_interface is None and _is_loopback(seen.name_resolves_to or "")
    wanted = seen.interface or "the interface that reaches the others"
    return Diagnosis(
        Level.WRONG if is_cut_off else Level.LOOK,
        "interface",
        f"Workers on {node.name} listen where {why}, but Ray reaches it at {node.address}; start Ray there with "
        f"GLOO_SOCKET_IFNAME={wanted}.",
    )


def _interfaces_are_well(nodes: Sequence[NodeFacts]) -> str:
    named = sorted({node.seen.interface or node.address for node in nodes})
    return f"Workers listen where Ray reaches the nodes ({', '.join(named)})."


def _link(facts: ClusterFacts) -> Iterable[Diagnosis]:
    link = facts.link
    if link is None:
        return
    between = f"{link.num_processes} nodes" if len(facts.nodes) > 1 else "two processes"
    if link.failure is not None:
        yield Diagnosis(
            Level.WRONG,
            "all-reduce",
            f"Gradients cannot be reduced between {between} by {link.backend} ({link.failure}); let them reach each "
            "other on all ports, and look at the interface that they listen on.",
        )
        return
    factor = 2 * (link.num_processes - 1) / link.num_processes
    step_s = factor * GRADIENT_BYTES / link.bytes_per_s
    measured = (
        f"{link.backend} moves {link.bytes_per_s / GB:.2g} GB/s between {between}, in {1000 * link.latency_s:.1f} ms "
        f"at the least: the gradients of 100 million parameters take {step_s:.2g} s a step"
    )
    if link.bytes_per_s < SLOW_LINK_BYTES_PER_S:
        advice = "place a gang's workers on one node, or mend the network"
        yield Diagnosis(Level.LOOK, "all-reduce", f"{measured}, which is slow; {advice}.")
    else:
        yield Diagnosis(Level.OK, "all-reduce", f"{measured}.")


def _storage(facts: ClusterFacts) -> Iterable[Diagnosis]:
    storage = facts.storage
    if not facts.nodes:
        return
    for name, why in storage.refusals.items():
        yield Diagnosis(Level.WRONG, "storage", f"On {name}: {why}")
    if storage.unseen:
        yield Diagnosis(
            Level.WRONG,
            "storage",
            f"{storage.uri} is not one folder for all nodes: {_who_sees_what_not(storage.unseen)}; name a folder that "
            "all machines share, or an object store.",
        )
    if not (storage.refusals or storage.unseen):
        who = "All nodes write to" if len(facts.nodes) > 1 else "The node writes to"
        also = ", and read what the others wrote" if len(facts.nodes) > 1 else " and reads back"
        yield Diagnosis(Level.OK, "storage", f"{who} {storage.uri}{also}.")


def _who_sees_what_not(unseen: Mapping[str, Sequence[str]]) -> str:
    """In words, those together who miss the same."""
    who: dict[str, list[str]] = {}
    for name, others in unseen.items():
        who.setdefault(", ".join(others), []).append(name)
    verb = {others: form_for(len(names), "does", "do") for others, names in who.items()}
    return "; ".join(f"{', '.join(names)} {verb[others]} not see what {others} wrote" for others, names in who.items())


def _token(facts: ClusterFacts) -> Diagnosis:
    if facts.wants_token:
        return Diagnosis(Level.OK, "token", "The cluster refuses who sends no token.")
    if facts.wants_token is None:
        return Diagnosis(
            Level.LOOK,
            "token",
            "The cluster did not answer whether it wants a token, without which whoever reaches it may run code on it; "
            "run doctor again when it is less busy.",
        )
    if all(_is_loopback(node.address) for node in facts.nodes):
        return Diagnosis(Level.OK, "token", "The cluster wants no token, but listens on this machine only.")
    return Diagnosis(
        Level.WRONG,
        "token",
        "The cluster wants no token, so that whoever reaches it may run code on it; start it with RAY_AUTH_MODE=token.",
    )


def _least(what: str, sizes: Sequence[int]) -> str:
    least = f"{min(sizes, default=0) / GB:.1f} GB {what}"
    return f"{least}." if len(sizes) == 1 else f"At least {least}."


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _nodes_text(num: int) -> str:
    return f"{num} {form_for(num, 'node', 'nodes')}"
