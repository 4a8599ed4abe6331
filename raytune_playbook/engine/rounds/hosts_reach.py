"""Whether all hosts reach a round's storage, before anything is trained or recorded.

Workers look themselves as well, when they have their first trial of a round: their host may have come later.
"""

from __future__ import annotations

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.cluster.calls import answers_of
from raytune_playbook.engine.cluster.capacity import nodes_for_workers
from raytune_playbook.engine.gang.reach import not_reached
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.errors import StorageError
from raytune_playbook.study.settings import Resources

ANSWER_S = 30.0
"""Hosts that have not said anything after this are left to their workers."""


def require_reach(context: RoundContext, resources: Resources) -> None:
    """Have all other hosts on which workers may be placed look for the driver's claim.

    Gangs start meanwhile, which takes longer.

    Raises:
        StorageError: one does not see it.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [node_id for node_id in nodes_for_workers(resources) if node_id != here] if context.uri else []
    look = ray.remote(num_cpus=0, max_retries=0)(not_reached)
    asked = {
        node_id: look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(
            context.uri, context.claim, context.round_id
        )
        for node_id in others
    }
    for _, answer in answers_of(asked, timeout_s=ANSWER_S):
        if isinstance(answer, ray.exceptions.RayTaskError):  # a bug
            raise answer
        if isinstance(answer, str):  # others are well, gone, or have no process to spare
            raise StorageError(answer)
