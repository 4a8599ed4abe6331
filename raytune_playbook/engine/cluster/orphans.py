"""Placement groups that nobody will use any more.

Ray Train asks for a placement group from its controller, and Ray keeps it until that is removed or the job ends: one
that was still waiting for room when its controller was killed would take the room as soon as there is some, for good.
Train's own cleaner knows only of groups whose workers have started.
"""

from __future__ import annotations

import ray
from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined] # made when imported
from ray.util.placement_group import PlacementGroup, remove_placement_group


def remove_orphans() -> int:
    """Remove this job's placement groups whose creator is dead; returns how many there were."""
    job_id = ray.get_runtime_context().get_job_id()
    orphans = [group for group in _groups() if group.creator_job_id.hex() == job_id and _is_orphan(group)]
    for group in orphans:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return len(orphans)


def _groups() -> list[PlacementGroupTableData]:
    accessor = ray._private.state.state._connect_and_get_accessor()
    return [PlacementGroupTableData.FromString(content) for content in accessor.get_placement_group_table()]


def _is_orphan(group: PlacementGroupTableData) -> bool:
    # What the driver itself has made (Tune's, the user's) has no creating actor, which Ray marks as dead too.
    has_creator = bool(group.creator_actor_id) and not ray.ActorID(group.creator_actor_id).is_nil()
    is_dead = has_creator and group.creator_actor_dead
    return is_dead and not group.is_detached and group.state != PlacementGroupTableData.REMOVED
