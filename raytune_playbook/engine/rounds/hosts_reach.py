"""Whether all hosts reach a round's storage, before anything is trained or recorded.

Workers look themselves as well, when they have their first trial of a round: their host may have come later.
"""

from __future__ import annotations

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.cluster.capacity import nodes_for_workers
from raytune_playbook.engine.gang.reach import not_reached
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.errors import StorageError
from raytune_playbook.study.settings import Resources

ANSWER_S = 30.0
"""A host that has not said anything after this is left to its workers."""


def require_reach(context: RoundContext, resources: Resources) -> None:
    """Have all other hosts on which workers may be placed look for the driver's claim.

    Gangs start meanwhile, which takes longer.

    Raises:
        StorageError: one does not see it.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [node_id for node_id in nodes_for_workers(resources) if node_id != here] if context.uri else []
    look = ray.remote(num_cpus=0, max_retries=0)(not_reached)
    asked = [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(
            context.uri, context.claim, context.round_id
        )
        for node_id in others
    ]
    for call in asked:
        try:
            sentence = answer_of(call, timeout_s=ANSWER_S)
        except ray.exceptions.RayTaskError:  # a bug
            raise
        except ray.exceptions.RayError:  # the host is gone, or has no process to spare
            continue
        if sentence is not None:
            raise StorageError(sentence)
