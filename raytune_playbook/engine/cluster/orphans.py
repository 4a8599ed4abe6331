"""Placement groups that nobody will use any more.

Ray Train asks for a placement group from its controller, and Ray keeps it until that is removed or the job ends: one
that was still waiting for room when its controller was killed would take the room as soon as there is some, for good.
Train's own cleaner knows only of groups whose workers have started.
"""

from __future__ import annotations

import ray
from ray.util.placement_group import remove_placement_group

from raytune_playbook.engine.cluster.ray_internals import placement_groups


def remove_orphans() -> int:
    """Remove this job's placement groups whose creator is dead; returns how many there were."""
    job_id = ray.get_runtime_context().get_job_id()
    orphans = [
        asked.group
        for asked in placement_groups()
        if asked.job_id == job_id and asked.by_dead_actor and not asked.is_detached
    ]
    for group in orphans:
        remove_placement_group(group)
    return len(orphans)
