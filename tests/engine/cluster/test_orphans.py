"""Which placement groups are orphans, on a real cluster."""

from __future__ import annotations

import os
import threading
import time

import psutil
import ray
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group

from raytune_playbook.engine.cluster.orphans import remove_orphans
from tests.waiting import wait_for


@ray.remote(num_cpus=0)
class Asker:
    """Asks for room that there is not, as a Train controller does."""

    def ask(self) -> str:
        return placement_group([{"CPU": 1000}]).id.hex()


def test_what_a_dead_actor_asked_for_is_removed_and_what_others_asked_for_stays(cluster):
    own = placement_group([{"memory": 1}])  # as Tune's trials have one
    dead, alive = Asker.remote(), Asker.remote()
    orphan, living = ray.get([dead.ask.remote(), alive.ask.remote()])
    assert remove_orphans() == 0
    ray.kill(dead)
    removed: list[int] = []
    wait_for(lambda: removed.append(remove_orphans()) or removed[-1])
    assert removed[-1] == 1
    states = {name: group["state"] for name, group in placement_group_table().items()}
    assert states.get(orphan, "REMOVED") == "REMOVED"
    assert states[living] == "PENDING"
    assert states[own.id.hex()] in ("PENDING", "CREATED")
    remove_placement_group(own)
    ray.kill(alive)
    wait_for(remove_orphans)


@ray.remote(num_cpus=0)
class LateAsker:
    """Asks for room again and again, until its process is gone."""

    def ask_on(self) -> int:
        threading.Thread(target=self._ask_on, daemon=True).start()
        return os.getpid()

    def _ask_on(self) -> None:
        while True:
            placement_group([{"CPU": 1001}])
            time.sleep(0.002)


def test_what_a_dying_actor_asks_for_when_it_counts_as_dead_is_removed_too(cluster):
    """Ray marks as orphans only what was there at an actor's death, and its process lives on for a moment."""

    def waiting() -> list[str]:
        groups = placement_group_table().items()
        return [name for name, each in groups if each["state"] == "PENDING" and each["bundles"] == {0: {"CPU": 1001.0}}]

    asker = LateAsker.remote()
    process_id = ray.get(asker.ask_on.remote())
    wait_for(waiting)
    ray.kill(asker)
    wait_for(lambda: not psutil.pid_exists(process_id))
    wait_for(lambda: not remove_orphans() and not waiting())
