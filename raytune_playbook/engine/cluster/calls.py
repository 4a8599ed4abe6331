"""Questions to actors and tasks: answers with a deadline, and the end of an actor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

import ray
import ray.exceptions
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


def answers_of(
    calls: Mapping[str, ray.ObjectRef[Answer]], *, timeout_s: float
) -> Iterator[tuple[str, Answer | ray.exceptions.RayError]]:
    """What each of several remote calls returned, or why it did not, with one deadline for all of them."""
    deadline_s = time.monotonic() + timeout_s
    for key, call in calls.items():
        try:
            yield key, answer_of(call, timeout_s=max(0.0, deadline_s - time.monotonic()))
        except ray.exceptions.RayError as error:
            yield key, error


def kill_actor(handle: object) -> None:
    """End an actor at once, with all that it owns.

    Args:
        handle: to an actor, whatever methods it is typed to have.
    """
    ray.kill(cast("ActorHandle[object]", handle))
