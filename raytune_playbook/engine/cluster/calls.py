"""Questions to actors: answers with a deadline, and the end of an actor."""

from __future__ import annotations

from typing import TypeVar, cast

import ray
from ray.actor import ActorHandle

from raytune_playbook.data.actors import RemoteMethod as RemoteMethod

Answer = TypeVar("Answer")


def answer_of(call: ray.ObjectRef[Answer], *, timeout_s: float) -> Answer:
    """What a remote call returned.

    Raises:
        ray.exceptions.GetTimeoutError: it has not returned within ``timeout_s``.
        ray.exceptions.RayError: the actor is gone, or its method raised.
    """
    return ray.get(call, timeout=timeout_s)


def kill_actor(handle: object) -> None:
    """End an actor at once, with all that it owns.

    Args:
        handle: to an actor, whatever methods it is typed to have.
    """
    ray.kill(cast("ActorHandle[object]", handle))
