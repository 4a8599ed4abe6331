"""Whether a node is still there, and whether it is about to be taken away (a drain).

Ray gives up an unreachable node only after several missed health checks, a minute by default. Who waits for a silent
worker asks its node directly, and knows within `CONNECT_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import ray

from raytune_playbook.engine.cluster import ray_internals

CONNECT_S = 5.0
"""A raylet that takes no connection within this is out of reach."""


def draining_nodes() -> set[str]:
    """Nodes that are about to be taken away, as `ray drain-node` or an autoscaler has announced.

    A gang's host asks every `raytune_playbook.engine.gang.host.DRAIN_CHECK_S`; capacity leaves such nodes out.
    """
    return ray_internals.draining_nodes()


async def lost_nodes(node_ids: Collection[str]) -> set[str]:
    """Those of the nodes that Ray has given up, or whose raylet takes no connection from here."""
    nodes = {node["NodeID"]: node for node in ray.nodes()}
    asked = sorted(set(node_ids))
    answers = await asyncio.gather(*(_answers(nodes.get(node_id)) for node_id in asked))
    return {node_id for node_id, answered in zip(asked, answers, strict=True) if not answered}


async def _answers(node: Mapping[str, Any] | None) -> bool:
    if node is None or not node["Alive"]:
        return False
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(node["NodeManagerAddress"], node["NodeManagerPort"])
    except OSError:  # refused or unreachable; a TimeoutError is one too
        return False
    writer.close()
    return True
