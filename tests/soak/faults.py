"""What is broken, when, and for how long: drawn from a seed before anything runs, and done to the hosts."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from tests.multihost.conftest import Host, Hosts

KINDS = {
    "worker": 6,
    "host": 5,
    "controller": 5,
    "lease": 2,
    "pool": 3,
    "store": 1,
    "driver": 4,
    "raylet": 4,
    "link": 4,
    "gcs": 1,
    "head": 2,
}
"""How often each is drawn, in parts of all.

worker: of a gang. host: the actor that owns a gang. controller: Train's, of a gang. lease: Tune's actor, which waits
for a trial. pool: of gangs. store: of the examples. driver: the command. raylet: of the second host, which is back
after a while. link: the second host's cable, which is out for a while. gcs: Ray's controller of the cluster. head: all
of its processes, the driver's too.
"""

SHORT = ("worker", "host", "controller", "pool", "driver", "raylet", "link", "head")
"""The kinds of the short form, once each."""

TITLES = {
    "worker": "ray::RayTrainWorker",
    "host": "ray::Host",
    "controller": "ray::TrainController",
    "lease": "ray::ResourceTrainable",
    "pool": "ray::Pool",
    "store": "ray::ExampleStore",
    "driver": " -m raytune_playbook ",
    "raylet": "raylet/raylet ",
    "gcs": "gcs/gcs_server ",
}
"""What the command line of a kind's processes holds."""

ENDS_DRIVER = ("driver", "pool", "store", "gcs", "head")
"""Kinds upon which the driver ends, and the round is resumed."""

SUDDEN = 0.5
"""The share of kills that don't wait until work goes on after the one before."""


@dataclass(frozen=True)
class Kill:
    """One disturbance.

    Fields:
        at_steps: of training that are checkpointed in the whole round, after which it comes; one that is sudden comes
            ``delay_s`` after the one before instead.
        delay_s: seconds after that.
        which: of several processes, as a part of their number.
        outage_s: how long what was broken stays so, where it does not come back by itself.
    """

    number: int
    kind: str
    at_steps: float
    delay_s: float
    which: float
    outage_s: float
    is_sudden: bool


def drawn(
    seed: int, num: int, num_steps: int, *, kinds: Sequence[str] = tuple(KINDS), sudden: float = SUDDEN
) -> list[Kill]:
    """The kills of a round of so many steps; each kind at least once, where there are enough.

    They are spread over 0.95 of its steps, and each comes at a moment of its own within its share.

    Args:
        sudden: the share of those that don't wait until work goes on after the one before.
    """
    rng = random.Random(seed)
    more = rng.choices(kinds, [KINDS[kind] for kind in kinds], k=max(0, num - len(kinds)))
    chosen = [*kinds[:num], *more]
    rng.shuffle(chosen)
    return [
        Kill(
            number,
            kind,
            at_steps=0.95 * num_steps * (number - 1 + rng.random()) / num,
            delay_s=rng.uniform(0, 1),
            which=rng.random(),
            outage_s=rng.uniform(1, 20),
            is_sudden=number > 1 and rng.random() < sudden,
        )
        for number, kind in enumerate(chosen, start=1)
    ]


def targets(hosts: Hosts, kind: str) -> list[tuple[Host, int]]:
    """Processes of a kind: (host, process id)."""
    places = (hosts.two,) if kind == "raylet" else (hosts.head, hosts.one, hosts.two)
    return [(host, process_id) for host in places for process_id in sorted(host.process_ids(TITLES[kind]))]


def broken(hosts: Hosts, kill: Kill) -> str | None:
    """Do it.

    Returns:
        What was broken, in words; None where there is no such process just now.
    """
    if kill.kind == "link":
        hosts.link(hosts.two, "down")
        return f"the link of host two, for {kill.outage_s:.0f} s"
    if kill.kind == "head":
        hosts.head.kill()
        return "all processes of the head"
    found = targets(hosts, kill.kind)
    if not found:
        return None
    host, process_id = found[int(kill.which * len(found))]
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)
        return f"{kill.kind} {process_id} on {host.name}"
    return None
