"""Whether all hosts reach a round's storage: asked while the check before trial 0 runs on some of them.

Workers look themselves as well, when they have their first trial of a round: their host may have come later.
"""

from __future__ import annotations

from collections.abc import Sequence

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.cluster.capacity import nodes_for_workers
from raytune_playbook.engine.gang.reach import require_reached
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.errors import StorageError, StorageFailure
from raytune_playbook.study.settings import Resources

ANSWER_S = 30.0
"""After the check; a host that has not said anything until then is left to its workers."""


def ask_hosts(context: RoundContext, resources: Resources) -> list[ray.ObjectRef[None]]:
    """Have all other hosts on which workers may be placed look for the driver's claim; none where there is none."""
    if not context.uri:
        return []
    here = ray.get_runtime_context().get_node_id()
    look = ray.remote(num_cpus=0, max_retries=0)(require_reached)
    return [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(
            context.uri, context.claim, context.round_id
        )
        for node_id in nodes_for_workers(resources)
        if node_id != here
    ]


def require_reach(asked: Sequence[ray.ObjectRef[None]]) -> None:
    """Refuse a storage that one of them does not reach.

    Raises:
        StorageError: with the host's name, and why.
    """
    for call in asked:
        try:
            answer_of(call, timeout_s=ANSWER_S)
        except ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, StorageFailure):
                raise
            raise StorageError(str(error.cause)) from None
        except ray.exceptions.RayError:  # it is gone, or has no process to spare
            continue
